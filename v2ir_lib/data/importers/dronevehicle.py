"""DroneVehicle: {train,val,test}/{trainimg,trainimgr,…}/NNNNN.jpg, seen from a drone; `r` is infrared.

The files are 840×712 with a white frame of 100 pixels: the picture is 640×512, at 100:612, 100:740. Copies without
the frame are taken whole. Some parallax remains. No sequences are stated.
"""

from pathlib import Path

from v2ir_lib.data.layout import Findings, Importer, Options, Row, child, number, pictures, stem

CROP = "100,100,740,612"  # left, top, right, bottom
PARTS = ("train", "val", "test")


def looks_like(root: Path) -> bool:
    """Any part with both of its picture folders."""
    return any(child(child(root, part), f"{part}img") and child(child(root, part), f"{part}imgr") for part in PARTS)


def find(root: Path, options: Options) -> Findings:
    """Numbers start anew in each part, so the part is in the id."""
    found = Findings()
    for part in PARTS:
        folder = child(root, part)
        visible = pictures(child(folder, f"{part}img"), "visible", found)
        infrared = pictures(child(folder, f"{part}imgr"), "infrared", found)

        def make(key: str, visible: str, infrared: str, part: str = part) -> Row:
            name = stem(infrared)
            id = f"dronevehicle/{part}/{name}"
            return Row(id, id, visible, infrared, "dronevehicle", part, number(name), crop=CROP)

        found.match(visible, infrared, make)
    return found


IMPORTER = Importer(
    "dronevehicle",
    "DroneVehicle",
    "{train,val,test}/{trainimg,trainimgr}/NNNNN.jpg, and so for val and test",
    "not stated",
    find,
    looks_like,
)
