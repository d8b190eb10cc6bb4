"""What is kept of one row and seed: a small JSON file with its flags, its key, and the scores of every scene.

The scores are whole numbers of two bytes, hundredths of a dB or thousandths of 1, as base64: thousands of numbers, each
on a line of its own, would make files that nobody reads, and there are about a hundred of them. Without this library:
`numpy.frombuffer(base64.b64decode(text), "<i2") / 100`.
"""

import base64
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.ablations.rows import Row
from v2ir_lib.files import write_json
from v2ir_lib.weights import read_json

DIGITS = {"psnr": 2, "psnr_aligned": 2, "ssim": 3, "edge_agreement": 3}  # dB, and of 1
MOST = np.iinfo(np.int16).max


def record_path(folder: Path, row: Row, seed: int) -> Path:
    """`<folder>/<row>-<seed>.json`."""
    return folder / f"{re.sub('[^a-z0-9.]+', '_', row.name.lower())}-{seed}.json"


def packed(values, digits: int) -> str:
    """Numbers as one string, rounded to so many digits behind the point; `unpacked` reads it.

    Of 32767 steps at most to either side: the PSNR of equal pictures, which has no bound, becomes 327.67 dB.
    """
    steps = np.clip(np.round(np.asarray(values, float) * 10**digits), -MOST, MOST)
    if np.isnan(steps).any():
        raise ValueError("a score is not a number")
    return base64.b64encode(steps.astype("<i2").tobytes()).decode()


def unpacked(text: str, digits: int) -> np.ndarray:
    """The numbers of such a string, float64 (N,)."""
    return np.frombuffer(base64.b64decode(text), "<i2") / 10**digits


def kinds_of(groups: dict[str, np.ndarray], count: int) -> dict[str, str]:
    """Which of `count` scenes belong to which group: a hexadecimal number each, whose bits are the scenes in order."""
    marks = {name: np.isin(np.arange(count), members) for name, members in groups.items()}
    return {name: np.packbits(mark).tobytes().hex() for name, mark in marks.items()}


def groups_of(kinds: dict[str, str]) -> dict[str, np.ndarray]:
    """The numbers of each group's scenes again."""
    bits = {name: np.unpackbits(np.frombuffer(bytes.fromhex(marks), np.uint8)) for name, marks in kinds.items()}
    return {name: np.flatnonzero(mark) for name, mark in bits.items()}


def write_record(path: Path, row: Row, seed: int, key: str, scores: dict[str, np.ndarray], **more: object) -> dict:
    """Write and return a row's record; more: what else is to be known of it."""
    flags = {"phases": row.phases and list(row.phases), **asdict(row.told), "network": row.network}
    record = {
        "row": row.name,
        "about": row.about,
        "seed": seed,
        "key": key,
        "flags": flags,
        "guidance": asdict(row.guidance) if row.network == "diffusion" else None,
        **more,
        "scores": {name: packed(values, DIGITS[name]) for name, values in scores.items()},
    }
    write_json(path, record)
    return record


def read_record(path: Path, key: str) -> dict | None:
    """A row's record, or None where there is none, or it is of other weights, scenes or settings."""
    try:
        record = read_json(path)
    except UserError:
        return None
    return record if record.get("key") == key else None
