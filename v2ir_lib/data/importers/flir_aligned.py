"""FLIR-aligned: align/JPEGImages/FLIR_NNNNN_RGB.jpg with FLIR_NNNNN_PreviewData.jpeg, and two lists that split them.

Lists name pictures with or without `_PreviewData`. Visible pictures have black borders from the warp, in most; the
audit finds them.
"""

import re
from pathlib import Path

from v2ir_lib.data.layout import Findings, Importer, Options, Row, any_named, child, key_of, number, pictures, stem
from v2ir_lib.errors import UserError

LISTS = {"train": "align_train.txt", "val": "align_validation.txt"}
TAIL = re.compile("_(rgb|previewdata)$")


def looks_like(root: Path) -> bool:
    """JPEGImages with pictures of those names, in the root or in `align`."""
    images = child(child(root, "align") or root, "JPEGImages")
    return images is not None and any_named(images, r"FLIR_\d+_(RGB|PreviewData)\.jpe?g")


def find(root: Path, options: Options) -> Findings:
    """No sequences are stated: every pair is a group of its own."""
    found = Findings()
    align = child(root, "align") or root
    both = pictures(child(align, "JPEGImages"), "visible", found)
    visible = {TAIL.sub("", key): path for key, path in both.items() if key.endswith("_rgb")}
    infrared = {TAIL.sub("", key): path for key, path in both.items() if key.endswith("_previewdata")}
    splits = _splits((align, root))

    def make(key: str, visible: str, infrared: str) -> Row:
        name = stem(infrared).removesuffix("_PreviewData")
        id = f"flir-aligned/{name}"
        return Row(id, id, visible, infrared, "flir-aligned", splits.get(key, ""), number(name))

    found.match(visible, infrared, make)
    found.leave(
        "visible", (path for key, path in both.items() if not TAIL.search(key)), "neither _RGB nor _PreviewData"
    )
    absent = sorted(splits.keys() - (visible.keys() | infrared.keys()))
    found.leave("infrared", (f"{key}_PreviewData.*" for key in absent), "in a list, but not there")
    unlisted = len((visible.keys() & infrared.keys()) - splits.keys())
    if unlisted:
        found.notes.append(f"{unlisted} pairs are in neither list: no split")
    return found


def _splits(places: tuple[Path, ...]) -> dict[str, str]:
    """Key of a pair → split, from the lists that are there."""
    splits = {}
    for split, name in LISTS.items():
        path = next((place / name for place in places if (place / name).is_file()), None)
        if path is None:
            continue
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is no list of names ({error}): fetch it again") from None
        names = (line.strip() for line in lines if line.strip())
        splits |= {TAIL.sub("", key_of(name if "." in name else name + ".")): split for name in names}
    return splits


IMPORTER = Importer(
    "flir-aligned",
    "FLIR-aligned",
    "align/JPEGImages/FLIR_NNNNN_{RGB.jpg,PreviewData.jpeg} with align_train.txt and align_validation.txt",
    "FLIR ADAS terms of use",
    find,
    looks_like,
)
