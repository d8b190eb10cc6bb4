"""FLIR ADAS v1: thermal pictures of streets, 14 bits in 16-bit TIFF and 8-bit previews, and visible ones beside them.

Two layouts: {Training,Validation,Video}/{Data,PreviewData,RGB} (2018), {train,val,video}/{thermal_16_bit,thermal_8_bit,
RGB} (v1.3). 499 + 109 + 29 thermal pictures have no visible one. The cameras' fields of view differ: not aligned.
"""

from pathlib import Path

from v2ir_lib.data.layout import Findings, Importer, Options, Row, child, number, pictures, stem

PARTS = {"train": ("Training", "train"), "val": ("Validation", "val"), "video": ("Video",)}
PREVIEW, RAW = ("PreviewData", "thermal_8_bit"), ("Data", "thermal_16_bit")


def looks_like(root: Path) -> bool:
    """Any part with thermal pictures in it."""
    return any(child(child(root, *names), *PREVIEW, *RAW) for names in PARTS.values())


def find(root: Path, options: Options) -> Findings:
    """The video, 144 seconds without a break, is one group; training and validation state no sequences."""
    found = Findings(notes=["visible and infrared are not aligned: use flir-aligned where pixels must match"])
    for part, names in PARTS.items():
        folder = child(root, *names)
        if folder is None:
            continue
        preview = pictures(child(folder, *PREVIEW), "infrared", found)
        raw = pictures(child(folder, *RAW), "infrared", found)
        infrared = preview | raw if options.raw else raw | preview  # the right one wins
        visible = pictures(child(folder, "RGB"), "visible", found)

        def make(key: str, visible: str, infrared: str, part: str = part) -> Row:
            name = stem(infrared)
            id = f"flir-v1/{part}/{name}"
            group = "flir-v1/video" if part == "video" else id
            split = "" if part == "video" else part
            return Row(id, group, visible, infrared, "flir-v1", split, number(name))

        found.match(visible, infrared, make)
    return found


IMPORTER = Importer(
    "flir-v1",
    "FLIR ADAS v1",
    "{train,val,video}/{thermal_8_bit,thermal_16_bit,RGB} or {Training,Validation,Video}/{PreviewData,Data,RGB}",
    "FLIR ADAS terms of use",
    find,
    looks_like,
    takes=("raw",),
)
