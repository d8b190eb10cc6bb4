"""LSOTB-TIR: Training Dataset/TrainingData/TIR_training_NNN/SEQUENCE/*.jpg, thermal video, infrared alone."""

import re
from pathlib import Path

from v2ir_lib.data.layout import Findings, Importer, Options, Row, folders, natural, number, pictures, stem

PART = re.compile(r"TIR_training_\d+", re.IGNORECASE)


def looks_like(root: Path) -> bool:
    """A part, at most two folders down; the root may be one part."""
    return bool(_parts(root))


def find(root: Path, options: Options) -> Findings:
    """The sequence is the group. The evaluation set, whose layout we have not seen, is named and left alone."""
    found = Findings()
    for part in _parts(root):
        for sequence in folders(part):
            frames = pictures(sequence, "infrared", found)
            keys = sorted(frames, key=natural)
            for key in keys[:: options.stride]:
                name = stem(frames[key])
                id = f"lsotb-tir/{part.name}/{sequence.name}/{name}"
                group = f"lsotb-tir/{sequence.name}"
                found.rows.append(Row(id, group, "", frames[key], "lsotb-tir", "train", number(name)))
            found.skipped += len(keys) - len(keys[:: options.stride])
    others = [path.name for path in folders(root) if "evaluation" in path.name.lower()]
    found.notes.extend(
        f"{name!r} is not imported: its layout is not verified, use `infrared` for it" for name in others
    )
    return found


def _parts(root: Path) -> list[Path]:
    level = [root]
    for _ in range(4):
        parts = [path for path in level if PART.fullmatch(path.name)]
        if parts:
            return parts
        level = [path for parent in level[:20] for path in folders(parent)[:200]]
    return []


IMPORTER = Importer(
    "lsotb-tir",
    "LSOTB-TIR",
    "Training Dataset/TrainingData/TIR_training_NNN/SEQUENCE/*.jpg",
    "non-commercial",
    find,
    looks_like,
    takes=("stride",),
)
