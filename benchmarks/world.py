"""Seconds a scene: infrared alone, visible alone, both from one trace. Writes results/bench_world.json.

The ratio says what sharing one trace between all bands saves: both together against the sum of each alone.
"""

import statistics
import time

from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.world.render import render_scene
from v2ir_lib.world.scene import sample_scene

SCENES, SEED = 24, 900
WAYS = {"infrared": dict(visible=False), "visible": dict(infrared=False), "both": dict()}


def main() -> None:
    render_scene(sample_scene(SEED, 0))  # imports and caches
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for index in range(SCENES):
        scene = sample_scene(SEED, index)
        for name, wanted in WAYS.items():
            started = time.perf_counter()
            render_scene(scene, **wanted)
            seconds[name].append(time.perf_counter() - started)
    mean = {name: round(statistics.fmean(values), 3) for name, values in seconds.items()}
    slowest = {name: round(max(values), 3) for name, values in seconds.items()}
    ratio = round(mean["both"] / (mean["infrared"] + mean["visible"]), 3)
    report = {
        "about": "seconds a scene in one process: four infrared bands at 96 pixels, visible at 192, and both",
        "provenance": provenance(SEED),
        "scenes": SCENES,
        "mean_seconds": mean,
        "slowest_seconds": slowest,
        "both_over_sum_of_each": ratio,
    }
    write_json(repo_root() / "results" / "bench_world.json", report)
    print(f"infrared {mean['infrared']} s, visible {mean['visible']} s, both {mean['both']} s; ratio {ratio}")


if __name__ == "__main__":
    main()
