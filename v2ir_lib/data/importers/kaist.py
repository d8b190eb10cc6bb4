"""KAIST Multispectral Pedestrian: setXX/VYYY/{visible,lwir}/INNNNN.jpg, video at 20 frames a second, day and night.

Also the flat variant, setXX_VYYY_INNNNN_{visible,lwir}.png. Neighbouring frames are nearly equal: `stride` takes
every n-th of each sequence. Pictures are 640×512 where the papers say 640×480.
"""

import re
from pathlib import Path

from v2ir_lib.data.layout import Findings, Importer, Options, Row, any_named, child, folders, number, pictures

FLAT = re.compile(r"(set\d\d)_(v\d{3})_(i\d+)_(visible|lwir)")
FLAT_NAME = r"set\d\d_V\d{3}_I\d+_(visible|lwir)\.\w+"
NIGHT = (3, 4, 5, 9, 10, 11)  # sets recorded at night; the others by day


def looks_like(root: Path) -> bool:
    """A set with a sequence in it, in the root or in `images`; or pictures of the flat variant."""
    sequences = (sequence for one in _sets(root) for sequence in folders(one)[:1])
    return any(child(sequence, "lwir") for sequence in sequences) or any(
        any_named(place, FLAT_NAME) for place in _flat_places(root)[:20]
    )


def find(root: Path, options: Options) -> Findings:
    """The sequence is the group. Sets 00 to 05 are training, 06 to 11 test, as published."""
    found = Findings()
    for one in _sets(root):
        for sequence in folders(one):
            visible = pictures(child(sequence, "visible"), "visible", found)
            infrared = pictures(child(sequence, "lwir"), "infrared", found)
            _sequence(one.name.lower(), sequence.name.upper(), visible, infrared, options.stride, found)
    for (one, sequence), (visible, infrared) in sorted(_flat(root, found).items()):
        _sequence(one, sequence.upper(), visible, infrared, options.stride, found)
    return found


def _sets(root: Path) -> list[Path]:
    return [path for path in folders(child(root, "images") or root) if re.fullmatch(r"(?i)set\d\d", path.name)]


def _flat_places(root: Path) -> list[Path]:
    return [root, *(path for path in folders(root) if not re.fullmatch(r"(?i)set\d\d", path.name))]


def _flat(root: Path, found: Findings) -> dict[tuple[str, str], tuple[dict[str, str], dict[str, str]]]:
    """(set, sequence) → visible and infrared pictures by frame, of the flat variant."""
    sequences: dict = {}
    for place in _flat_places(root):
        for key, path in pictures(place, "visible", found).items():
            match = FLAT.fullmatch(key)
            if match is None:
                found.leave("visible", [path], "not called setXX_VYYY_INNNNN_visible or _lwir")
                continue
            sides = sequences.setdefault((match[1], match[2]), ({}, {}))
            sides[match[4] == "lwir"][match[3]] = path
    return sequences


def _sequence(one: str, name: str, visible: dict, infrared: dict, stride: int, found: Findings) -> None:
    set_number, first = int(one[3:]), len(found.rows)
    split = "train" if set_number <= 5 else "test"

    def make(key: str, visible: str, infrared: str) -> Row:
        id = f"kaist/{one}/{name}/{key.upper()}"
        time = "night" if set_number in NIGHT else "day"
        return Row(id, f"kaist/{one}/{name}", visible, infrared, "kaist", split, number(key), time)

    found.match(visible, infrared, make)
    frames = len(found.rows) - first
    found.rows[first:] = found.rows[first::stride]
    found.skipped += frames - (len(found.rows) - first)


IMPORTER = Importer(
    "kaist",
    "KAIST Multispectral Pedestrian",
    "setXX/VYYY/{visible,lwir}/INNNNN.jpg, or setXX_VYYY_INNNNN_{visible,lwir}.png in one folder",
    "CC BY-NC-SA 4.0",
    find,
    looks_like,
    takes=("stride",),
)
