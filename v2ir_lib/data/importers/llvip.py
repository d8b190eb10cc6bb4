"""LLVIP: {visible,infrared}/{train,test}/NNNNNN.jpg, 1280×1024, streets in low light, from fixed cameras.

The first two digits name the scene: 01 to 18 and 25 are training, 19 to 24 and 26 test. Infrared is grey in three
channels; it is read as one.
"""

from pathlib import Path

from v2ir_lib.data.layout import Findings, Importer, Options, Row, any_named, child, number, pictures, stem


def looks_like(root: Path) -> bool:
    """visible and infrared, each with train or test, and pictures whose names are six digits."""
    return any(
        child(child(root, "visible"), split)
        and (infrared := child(child(root, "infrared"), split))
        and any_named(infrared, r"\d{6}\.\w+")
        for split in ("train", "test")
    )


def find(root: Path, options: Options) -> Findings:
    """The scene is the group."""
    found = Findings()
    for split in ("train", "test"):
        visible = pictures(child(child(root, "visible"), split), "visible", found)
        infrared = pictures(child(child(root, "infrared"), split), "infrared", found)

        def make(key: str, visible: str, infrared: str, split: str = split) -> Row:
            name = stem(infrared)
            return Row(f"llvip/{name}", f"llvip/{name[:2]}", visible, infrared, "llvip", split, number(name[2:]))

        found.match(visible, infrared, make)
    return found


IMPORTER = Importer(
    "llvip",
    "LLVIP",
    "{visible,infrared}/{train,test}/NNNNNN.jpg",
    "non-commercial (LLVIP terms)",
    find,
    looks_like,
)
