"""VTUAV: {train,test}_{ST,LT}_NNN/SEQUENCE/{rgb,ir}/*.jpg, 1920×1080 video from a drone.

File names of the two cameras need not agree: the sorted lists are paired by position. The sequences pedestrian_040,
_042 and _043 stand in two parts each, so a group is a sequence's name, whatever part it is in.
"""

import re
from pathlib import Path

from v2ir_lib.data.layout import Findings, Importer, Options, Row, child, folders, natural, pictures

PART = re.compile(r"(train|test|val)_(ST|LT)_\d+", re.IGNORECASE)


def looks_like(root: Path) -> bool:
    """A part with a sequence that has both cameras; the root may be one part."""
    sequences = (sequence for part in _parts(root) for sequence in folders(part)[:3])
    return any(child(sequence, "rgb") and child(sequence, "ir") for sequence in sequences)


def find(root: Path, options: Options) -> Findings:
    """The sequence is the group, the number within its list the frame."""
    found = Findings()
    for part in _parts(root):
        for sequence in folders(part):
            _sequence(part.name, sequence, options.stride, found)
    return found


def _parts(root: Path) -> list[Path]:
    return [root] if PART.fullmatch(root.name) else [path for path in folders(root) if PART.fullmatch(path.name)]


def _sequence(part: str, sequence: Path, stride: int, found: Findings) -> None:
    visible = _in_order(pictures(child(sequence, "rgb"), "visible", found))
    infrared = _in_order(pictures(child(sequence, "ir"), "infrared", found))
    count, group, split = min(len(visible), len(infrared)), f"vtuav/{sequence.name}", part.lower().split("_")[0]
    for frame in range(0, count, stride):
        id = f"vtuav/{part}/{sequence.name}/{frame:06d}"
        found.rows.append(Row(id, group, visible[frame], infrared[frame], "vtuav", split, frame))
    found.skipped += count - len(range(0, count, stride))
    if len(visible) != len(infrared):
        lengths = f"{len(visible)} visible, {len(infrared)} infrared"
        found.notes.append(f"{part}/{sequence.name}: {lengths}; paired by position, look at its end before use")
        found.leave("visible", visible[count:], "its sequence has fewer infrared pictures")
        found.leave("infrared", infrared[count:], "its sequence has fewer visible pictures")


def _in_order(found: dict[str, str]) -> list[str]:
    return [found[key] for key in sorted(found, key=natural)]


IMPORTER = Importer(
    "vtuav",
    "VTUAV",
    "train_ST_NNN/SEQUENCE/{rgb,ir}/*.jpg",
    "not stated",
    find,
    looks_like,
    takes=("stride",),
)
