"""Import, audit, split, shard, stream and near-duplicate search at three sizes each. Writes results/data_scale.json.

Two kinds of data, both made here and thrown away: many rows of small pictures (what a row costs), and fewer pictures of
real size (what a pixel costs). Each stage is the command a user runs, in a process of its own; its memory is the sum
over that process and its workers. Leave the machine alone meanwhile: the load beside it is recorded, not corrected.

    python benchmarks/data_scale.py                                      # the measurement, an hour or so
    python benchmarks/data_scale.py --sizes 200,400,800 --images 60,80,120 --searches 1000,2000,4000 --out out/try.json
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import psutil
from tqdm.auto import tqdm

from v2ir_lib.files import repo_root, write_json

SMALL, LARGE = (64, 48), (1280, 1024)  # width, height; the larger is LLVIP's
FRAMES = 20  # of a sequence
TARGET = 500_000
STAGES = ("import", "audit", "split", "shard", "verify", "stream")
ASSUMPTIONS = [
    "the seconds of a stage grow as a + b·n, fitted to the sizes measured by least squares; near-duplicate search is "
    "part of the audit's line, and projected apart as n·log n from its largest size",
    "memory grows as a + b·n, or not at all where no growth is seen; it is a sum over processes, so pages that they "
    "share are counted more than once",
    "the same machine, alone, with as many cores; pictures lie on its disk and were written shortly before, so that "
    "part of them is read from memory: a cold or a networked disk adds its own time for the bytes",
    "'rows' are pictures of 64×48 and measure what a row costs; 'images' are of 1280×1024, JPEG of quality 90, and "
    "measure what a picture of that size costs; a data set of mixed sizes lies between the two",
    "sequences of 20 frames each with a group of its own; no row without a sequence, so no clustering by looks",
]


def make_pictures(root: Path, first: int, last: int, size: tuple[int, int], seed: int) -> int:
    """Pairs number `first` to `last` in folders of sequences, as JPEG; a camera that drifts. Returns their bytes."""
    width, height = size
    total = 0
    for sequence in tqdm(range(first // FRAMES, -(-last // FRAMES)), desc="making pictures", unit="sequence"):
        draw = np.random.default_rng([seed, sequence])
        coarse = draw.integers(0, 256, (8, 10, 3), np.uint8)
        ground = cv2.resize(coarse, (width + 2 * FRAMES, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        ground = np.clip(ground + draw.integers(-12, 13, ground.shape), 0, 255).astype(np.uint8)  # noise: JPEG's size
        for frame in range(FRAMES):
            number = sequence * FRAMES + frame
            if not first <= number < last:
                continue
            view = ground[:, 2 * frame : 2 * frame + width]
            for kind, picture in (("visible", view), ("infrared", 255 - view[..., 1] // 2)):
                path = root / kind / f"s{sequence:06d}" / f"{number:07d}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
                path.write_bytes(content)
                total += len(content)
    return total


def measured(command: list[str]) -> dict:
    """Run a command; seconds, and the highest memory of it and its workers together, sampled ten times a second."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=repo_root(), text=True)
    highest, done = [0], threading.Event()

    def watch() -> None:
        tree = psutil.Process(process.pid)
        while not done.wait(0.1):
            try:
                family = [tree, *tree.children(recursive=True)]
                highest[0] = max(highest[0], sum(member.memory_info().rss for member in family))
            except psutil.Error:
                continue  # one of them has just ended

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    out, err = process.communicate()
    done.set()
    watcher.join()
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{err[-2000:]}")
    return {"seconds": round(seconds, 3), "peak_memory_bytes": highest[0], "said": json.loads(out)}


def run_stages(folder: Path, count: int, workers: int) -> dict[str, dict]:
    """All stages on the `count` pairs in `folder`; by stage, seconds, rows a second, peak memory."""
    here = folder.parent / f"work-{count}"
    v2ir, own = [sys.executable, "-m", "v2ir_lib.cli", "data"], [sys.executable, __file__]
    manifest, audit, split, shards = here / "m.parquet", here / "audit.parquet", here / "split.csv", here / "shards"
    links = ["--links", here / "audit_links.parquet"]
    commands = {
        "import": [*v2ir, "import", "paired", folder, "--out", manifest, "--json"],
        "audit": [*v2ir, "audit", manifest, "--out", audit, "--workers", workers, "--json"],
        "split": [*v2ir, "split", manifest, "--out", split, *links, "--json"],
        "shard": [*v2ir, "shard", manifest, "--out", shards, "--split", split, "--workers", workers, "--json"],
        "verify": [*v2ir, "shard", "--out", shards, "--verify", "--json"],
        "stream": [*own, "--stream", shards],
    }
    found = {}
    for stage in STAGES:
        report = measured([str(word) for word in commands[stage]])
        said = report.pop("said")
        seconds = report["seconds"]
        if stage == "stream":  # its own clock: reading the index once is not feeding
            report |= said
        else:
            report["rows_per_second"] = round(count / seconds, 1)
        found[stage] = report
        print(f"{count:>8,} {stage:>7}: {seconds:8.2f} s  {report['rows_per_second']:>10,.0f} /s  "
              f"{report['peak_memory_bytes'] / 2**20:8.0f} MiB", flush=True)  # fmt: skip
    return found


def feed(shards: Path) -> dict:
    """One epoch of the training split in one process: rows a second as bytes, and decoded to arrays."""
    from v2ir_lib.data.stream import ShardReader, ShardStream

    started = time.perf_counter()
    reader = ShardReader(shards, "train")
    opened = time.perf_counter() - started
    started = time.perf_counter()
    count = sum(1 for _ in ShardStream(reader, seed=0))
    plain = count / (time.perf_counter() - started)
    started, decoded = time.perf_counter(), 0
    for row in ShardStream(reader, seed=1):
        for kind in ("visible", "infrared"):
            cv2.imdecode(np.frombuffer(row[kind], np.uint8), cv2.IMREAD_UNCHANGED)
        decoded += 1
        if time.perf_counter() - started > 60:
            break
    pictures = decoded / (time.perf_counter() - started)
    return {
        "open_seconds": round(opened, 3),
        "rows": count,
        "rows_per_second": round(plain, 1),
        "decoded_rows_per_second": round(pictures, 1),
    }


def search(count: int, seed: int) -> dict:
    """Near-duplicate search alone, on hashes and fingerprints like those of sequences of 20 frames."""
    from v2ir_lib.data.audit.duplicates import near_links

    draw = np.random.default_rng([seed, count])
    sequences = -(-count // FRAMES)
    rows = np.arange(count) // FRAMES
    phash, prints = {}, {}
    for kind in ("visible", "infrared"):
        flips = np.zeros(count, np.uint64)
        for _ in range(3):  # up to three bits of 64 from the sequence's own
            flips ^= np.uint64(1) << draw.integers(0, 64, count).astype(np.uint64)
        phash[kind] = draw.integers(0, 2**63, sequences, np.uint64)[rows] ^ flips
        own = draw.integers(20, 236, (sequences, 24, 32), np.uint8)
        prints[kind] = own[rows] + draw.integers(0, 12, (count, 24, 32), np.uint8)
    groups = [str(row) for row in rows]
    started = time.perf_counter()
    links = near_links(groups, phash, prints, {kind: np.ones(count, bool) for kind in phash})
    return {"search_seconds": round(time.perf_counter() - started, 3), "links": len(links)}


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """The power of n by which seconds grow: slope of log seconds over log n, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def project(by_size: dict[int, dict[str, dict]]) -> dict[str, dict]:
    """For each stage the exponent of its growth, and its seconds and memory at 500,000."""
    sizes, found = sorted(by_size), {}
    for stage in STAGES:
        seconds = [by_size[n][stage]["seconds"] for n in sizes]
        memory = [by_size[n][stage]["peak_memory_bytes"] for n in sizes]
        found[stage] = {
            "growth_exponent": round(exponent(sizes, seconds), 3),
            "seconds": round(_at_target(sizes, seconds), 1),
            "peak_memory_bytes": int(_at_target(sizes, memory)),
        }
    return found


def _at_target(sizes: list[int], values: list[float]) -> float:
    """a + b·n by least squares; where no growth is seen above the noise, what was measured last."""
    slope, start = np.polyfit(sizes, values, 1)
    return float(start + slope * TARGET) if slope > 0 else float(values[-1])


def search_report(sizes: list[int], seed: int) -> dict:
    """Measure the search at all sizes; its exponent beside that of n·log n over the same sizes."""
    runs = {}
    for count in sizes:
        report = measured([sys.executable, __file__, "--search", str(count), "--seed", str(seed)])
        found = report["said"]
        runs[count] = {"peak_memory_bytes": report["peak_memory_bytes"], **found}
        print(f"{count:>8,}  search: {found['search_seconds']:8.2f} s  {found['links']:,} links", flush=True)
    seconds = [runs[count]["search_seconds"] for count in sizes]
    largest = sizes[-1]
    return {
        "by_size": runs,
        "growth_exponent": round(exponent(sizes, seconds), 3),
        "growth_exponent_of_n_log_n": round(exponent(sizes, [n * math.log(n) for n in sizes]), 3),
        "projected_seconds": round(seconds[-1] * TARGET * math.log(TARGET) / (largest * math.log(largest)), 1),
    }


def training_rate() -> dict | None:
    """Samples a second that tiny training eats at most, from what the recipes recorded."""
    found = []
    for name in ("base", "phase1", "phase2", "phase3"):
        path = repo_root() / "results" / "recipes" / f"{name}.json"
        if path.exists():
            run = json.loads(path.read_text(encoding="utf-8"))
            found.append((run["batch_size"] / run["seconds_per_step"], name))
    return {"samples_per_second": round(max(found)[0], 1), "recipe": max(found)[1]} if found else None


def aims(report: dict) -> dict:
    """What the project set itself, against the largest size measured."""
    rows = report["rows"]["by_size"]
    largest = rows[max(rows)]
    both = [largest[stage] for stage in ("import", "split")]
    near, eaten = report["near_duplicate_search"], report["tiny_training"]
    over = {}
    for name, how in product(("rows", "images"), ("", "decoded_")) if eaten else ():
        by_size = report[name]["by_size"]
        fed = by_size[max(by_size)]["stream"][f"{how}rows_per_second"]
        over[f"{name}, {how.rstrip('_') or 'bytes'}"] = round(fed / eaten["samples_per_second"], 1)
    return {
        "rows": max(rows),
        "import_and_split_seconds": round(sum(stage["seconds"] for stage in both), 1),
        "import_and_split_under_60_s_at_100000": max(rows) >= 100_000 and sum(s["seconds"] for s in both) < 60,
        "import_and_split_peak_bytes": max(stage["peak_memory_bytes"] for stage in both),
        "under_1_gb": max(stage["peak_memory_bytes"] for stage in both) < 1e9,
        "search_no_faster_than_n_log_n": near["growth_exponent"] <= near["growth_exponent_of_n_log_n"] + 0.05,
        "stream_over_training": over,
    }


def numbers(text: str) -> list[int]:
    """ "200,400,800" as at least three rising numbers."""
    found = [int(word) for word in text.split(",")]
    if len(found) < 3 or found != sorted(set(found)) or found[0] < 3 * FRAMES:
        raise argparse.ArgumentTypeError(f"give three rising sizes from {3 * FRAMES} on, such as 200,400,800")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=numbers, default=numbers("25000,50000,100000"), help="rows of small pictures")
    parser.add_argument("--images", type=numbers, default=numbers("1250,2500,5000"), help="pictures of real size")
    parser.add_argument("--searches", type=numbers, default=numbers("50000,100000,200000"), help="hashes searched")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to put some 10 GB for a while; else the system's own place")
    parser.add_argument("--out", type=Path, default=repo_root() / "results" / "data_scale.json")
    parser.add_argument("--stream", type=Path, help=argparse.SUPPRESS)  # this script as its own measured child
    parser.add_argument("--search", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.stream or chosen.search:
        print(json.dumps(feed(chosen.stream) if chosen.stream else search(chosen.search, chosen.seed)))
        return
    report: dict = {
        "about": "import, audit, split, shard, verify, stream, near-duplicate search: seconds, rows a second, memory",
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "workers": chosen.workers,
        "tiny_training": training_rate(),
    }
    for name, sizes, pixels in (("rows", chosen.sizes, SMALL), ("images", chosen.images, LARGE)):
        by_size, there, written = {}, 0, 0
        with tempfile.TemporaryDirectory(dir=chosen.folder) as place:
            folder = Path(place) / "pairs"
            for count in sizes:
                written += make_pictures(folder, there, count, pixels, chosen.seed)
                there = count
                by_size[count] = run_stages(folder, count, chosen.workers)
        facts = {"width": pixels[0], "height": pixels[1], "bytes_per_pair": round(written / there)}
        report[name] = {**facts, "by_size": by_size, f"projected_to_{TARGET}": project(by_size)}
    report["near_duplicate_search"] = search_report(chosen.searches, chosen.seed)
    report["aims"] = aims(report)
    report["assumptions"] = ASSUMPTIONS
    report["load_after"] = [round(load, 2) for load in os.getloadavg()]
    from v2ir_lib.evaluation.provenance import provenance  # loads torch: not before the measurements

    report["provenance"] = provenance(chosen.seed)
    write_json(chosen.out, report)
    print(f"written to {chosen.out}")


if __name__ == "__main__":
    main()
