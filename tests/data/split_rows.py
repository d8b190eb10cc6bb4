"""Rows without pictures, small pictured manifests, and a list of names like the authors'."""

from pathlib import Path

import numpy as np
from PIL import Image

from v2ir_lib.records import Record, write_manifest

# the authors' list, by source: names in all
PROPORTIONS = dict(KAIST=17779, LLVIP=15488, DroneVehicle=13442, VTUAV=11448, FLIR=5142, MSRS=1444, AVIID=1280)
COUNT, TRAIN, VAL, TEST = 66023, 59420, 3301, 3302  # 90/5/5 by position, boundaries rounded down


def rows(groups: int, each: int, dataset: str = "kaist", time: str = "", start: int = 0) -> list[Record]:
    """`groups` sequences of `each` frames."""
    return [
        Record(
            f"{dataset}/{g}-{f}", f"{dataset}/{g}", f"{g}-{f}.png", f"{g}-{f}i.png", dataset=dataset, frame=f, time=time
        )
        for g in range(start, start + groups)
        for f in range(each)
    ]


def pictured(folder: Path, groups: int = 6, each: int = 4, seed: int = 0) -> Path:
    """A manifest with real, tiny, all different pictures; returns its path."""
    rng, records = np.random.default_rng(seed), rows(groups, each)
    for record in records:
        Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).save(folder / record.visible)
        Image.fromarray(rng.integers(0, 255, (6, 8), np.uint8)).save(folder / record.infrared)
    write_manifest(folder / "manifest.csv", records)
    return folder / "manifest.csv"


def _name(source: str, i: int, count: int) -> str:
    """The i-th of a source's names, in the order of its folders: whole sequences one after the other."""
    if source == "KAIST":
        sequence = i * 41 // count
        return f"kaist_set{sequence // 4:02d}_V{sequence % 4:03d}_I{i:05d}"
    if source == "VTUAV":
        sequence = i * 200 // count
        return f"DUTUAV_{('pedestrian', 'c-vehicle', 'tri_cycle')[sequence % 3]}_{sequence:03d}_{i:06d}"
    if source == "LLVIP":
        return f"LLVIP_{1 + i * 26 // count:02d}{i % 10000:04d}"
    if source == "DroneVehicle":
        return f"visdrone_{('train', 'val', 'test')[i * 3 // count]}_{i:05d}"
    if source == "MSRS":
        return f"MSRS_{i:05d}{'DN'[i % 2]}"
    return f"{dict(FLIR='FLIR', AVIID='AVIID1')[source]}_{i:05d}"


def authors_list(test: dict[str, int]) -> list[str]:
    """66,023 names with the authors' prefixes and counts; the last 3,302 are `test` so many of each source.

    Each source's test names are picked evenly from all of its sequences, so every sequence also stays in training.
    """
    assert sum(test.values()) == TEST and sum(PROPORTIONS.values()) == COUNT
    first, last = [], []
    for source, count in PROPORTIONS.items():
        chosen = {(2 * k + 1) * count // (2 * test[source]) for k in range(test[source])}
        for i in range(count):
            (last if i in chosen else first).append(_name(source, i, count))
    val = [first[9 + k * (len(first) - 9) // VAL] for k in range(VAL)]  # one in nineteen: training has its sequence too
    kept = set(val)
    return [name for name in first if name not in kept] + val + last
