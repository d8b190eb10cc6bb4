"""Rows a second of a training stream as bytes, decoded whole, and decoded no larger than tiny training wants them.

One set of generated pairs of 1280×1024 in shards; the ways take turns, several rounds, and each one's median counts:
in this process, and in worker processes as a training would use them. Writes results/stream_decode.json, with the
ratios to what tiny training eats (results/data_scale.json). Leave the machine alone meanwhile.

    python benchmarks/stream_decode.py                                     # the measurement, a minute or two
    python benchmarks/stream_decode.py --pairs 40 --rounds 1 --out out/try.json
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from data_scale import LARGE, make_pictures
from tqdm.auto import tqdm

from v2ir_lib.data.decoding import KINDS, decode_row
from v2ir_lib.data.importing import import_dataset
from v2ir_lib.data.shards import write_shards
from v2ir_lib.data.stream import ShardReader, ShardStream
from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.profiles import TINY

BATCH = TINY.phase2.batch_size


def whole_by_opencv(row: dict) -> list[np.ndarray]:
    """As `data_scale` decodes: faster than Pillow where the whole picture is wanted."""
    return [cv2.imdecode(np.frombuffer(row[kind], np.uint8), cv2.IMREAD_UNCHANGED) for kind in KINDS]


WAYS: dict[str, Callable | None] = {
    "bytes": None,
    "decoded whole, OpenCV": whole_by_opencv,
    "decoded whole": partial(decode_row, at_least=min(LARGE)),
    "decoded for training": partial(decode_row, at_least=TINY.train_resize),
}
AIM = 5  # times what tiny training eats


def rows_per_second(reader: ShardReader, decode: Callable | None, workers: int, seed: int) -> float:
    """Of one epoch; with workers, from when each has given its first batch: starting them is not feeding."""
    batches = ShardStream(reader, seed=seed).batches(BATCH, workers=workers, decode=decode)
    for _ in range(workers):
        next(batches)
    started = time.perf_counter()
    count = sum(len(batch) for batch in batches)
    return count / (time.perf_counter() - started)


def measure(reader: ShardReader, workers: int, rounds: int, seed: int) -> dict[str, float]:
    """Median over rounds, by way. One more goes before them, for what is slow the first time, and is not counted."""
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for turn in tqdm(range(rounds + 1), desc=f"{workers} workers" if workers else "this process", unit="round"):
        for name, decode in WAYS.items():
            found[name].append(rows_per_second(reader, decode, workers, seed + turn))
    return {name: round(median(rates[1:]), 1) for name, rates in found.items()}


def compared(rates: dict[str, float], eaten: float) -> dict:
    """What was measured, what decoding for training gains, and all ways over what tiny training eats."""
    over = {name: round(rate / eaten, 1) for name, rate in rates.items()}
    return {
        "rows_per_second": rates,
        "for_training_over_whole": {
            name: round(rates["decoded for training"] / rates[name], 2) for name in rates if "whole" in name
        },
        "over_tiny_training": over,
        f"feeds_{AIM}_times_tiny_training": rates["decoded for training"] >= AIM * eaten,
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=repo_root() / "results" / "stream_decode.json")
    chosen = parser.parse_args(argv)
    if chosen.rounds < 1 or chosen.workers < 1 or chosen.pairs <= chosen.workers * BATCH:
        parser.error(f"give one round and one worker at least, and more than {BATCH} pairs for each worker")
    scale = repo_root() / "results" / "data_scale.json"
    training = json.loads(scale.read_text(encoding="utf-8"))["tiny_training"] if scale.exists() else None
    if not training:
        parser.error(f"{scale} does not say what tiny training eats: run benchmarks/data_scale.py first")
    report: dict = {
        "about": "a training stream as bytes, decoded whole, decoded at the scale that training wants: rows a second, "
        "medians of rounds in turn; 'bytes' in workers holds sending them to the process that trains",
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "tiny_training": training,
        "pairs": chosen.pairs,
        "rounds": chosen.rounds,
        "batch_size": BATCH,
        "width": LARGE[0],
        "height": LARGE[1],
        "at_least": TINY.train_resize,
    }
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        written = make_pictures(root / "pairs", 0, chosen.pairs, LARGE, chosen.seed)
        import_dataset("paired", root / "pairs", root / "m.parquet", workers=1)
        write_shards(root / "m.parquet", root / "shards", size=50, workers=1)
        reader = ShardReader(root / "shards")
        kept = WAYS["decoded for training"](reader[0])
        report["bytes_per_pair"] = round(written / chosen.pairs)  # noisy pictures: large for JPEGs of that size
        report["decoded_for_training"] = {kind: list(kept[kind].shape) for kind in KINDS}
        for name, workers in (("in one process", 0), (f"in {chosen.workers} workers", chosen.workers)):
            rates = measure(reader, workers, chosen.rounds, chosen.seed)
            report[name] = compared(rates, training["samples_per_second"])
            print(f"{name}: {rates}")
    report["load_after"] = [round(load, 2) for load in os.getloadavg()]
    report["provenance"] = provenance(chosen.seed)
    write_json(chosen.out, report)
    print(f"written to {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
