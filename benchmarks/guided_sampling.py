"""What guided sampling costs, as ratios in one run. Writes results/bench.json.

    python benchmarks/guided_sampling.py            about 8 minutes on two idle cores
    python benchmarks/guided_sampling.py --quick    one round, no compiling, no child processes: seconds

At the tiny size, with the shipped weights: the step with the weightless branch left out against all four branches; our
loop against diffusers' InstructPix2Pix pipeline on the same weights, evaluations and noise, with one thread and with
all; branches one at a time against in one batch; bf16 and torch.compile, for sampling and for a step of training;
training from the cache against naive; peak memory of each. Where there is a CUDA GPU also at Stable Diffusion's shapes,
with random weights. The ways take turns (`ratios.in_turn`): leave the machine alone meanwhile all the same.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from guided_ways import (
    SCALES,
    Work,
    as_pix2pix,
    guided,
    guided_bf16,
    our_pictures,
    pix2pix,
    pix2pix_latents,
    pix2pix_pictures,
    random_work,
    with_unet,
    work_of,
)
from ratios import compiled_or_why, in_turn
from same_work import apart, same_work
from sampling_memory import CHILDREN, in_a_child, on_the_card
from tqdm.auto import tqdm
from training_ways import cached_against_naive, step_ratios

from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.provenance import provenance, weight_hashes
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.profiles import FULL, Profile

SEED = 0
IDEAL, WITHIN = 0.75, 0.05  # three branches for four, and how far from it the ratio may be, as a share of it
MODEL = repo_root() / "models" / "tiny" / "diffv2ir"


def headline(work: Work, rounds: int) -> dict:
    """The two ratios that the project promises: what is left out costs nothing, and no slower than diffusers."""
    theirs = pix2pix(work)
    ways = (lambda: as_pix2pix(theirs, work), lambda: pix2pix_latents(theirs, work))
    skipped = in_turn(lambda: guided(work), lambda: guided(work, skip=False), rounds, "three branches / four")
    return {
        "three_branches_over_four": skipped,
        "ours_over_diffusers_per_evaluation": in_turn(*ways, rounds, "our loop / diffusers'"),
    }


def ways_to_run(work: Work, rounds: int, compiling: bool) -> dict:
    """Ratios over the plain way, in float32 and one batch: branch by branch, in bf16, compiled."""

    def against_plain(way: Callable[[], torch.Tensor], label: str) -> dict:
        return in_turn(way, lambda: guided(work), rounds, label) | apart(work, way(), guided(work))

    report = {
        "one_branch_at_a_time_over_one_batch": against_plain(
            lambda: guided(work, rows=work.batch), "branch by branch / batch"
        ),
        "bf16_over_float32": against_plain(lambda: guided_bf16(work), "bf16 / float32"),
    }
    if compiling:
        compiled = with_unet(work, torch.compile(work.unet))
        report["compiled_over_eager"] = compiled_or_why(
            lambda: guided(compiled), lambda: against_plain(lambda: guided(compiled), "compiled / eager")
        )
    return report


def pictures(work: Work, rounds: int) -> dict:
    """Both pipelines from pictures and prompts to pictures, three evaluations a step each; ours encodes maps too."""
    theirs = pix2pix(work)
    ways = (lambda: our_pictures(work), lambda: pix2pix_pictures(theirs, work))
    return in_turn(*ways, rounds, "whole pipelines")


def tiny(model: Path, batch: int, steps: int, rounds: int, threads: list[int], quick: bool) -> dict:
    """All of it on the CPU, with a pipeline's own weights; headline ratios for each number of threads."""
    pipeline = DiffV2IRPipeline.from_pretrained(model)
    work = work_of(pipeline, batch, steps)
    alone = work_of(pipeline, 1, steps)
    report: dict = {"same_work": same_work(work), "by_threads": {}, "by_threads_one_picture": {}}
    for count in threads:
        torch.set_num_threads(count)
        report["by_threads"][str(count)] = headline(work, rounds)
        report["by_threads_one_picture"][str(count)] = headline(alone, rounds)  # calls cost more, beside the arithmetic
    fewer = max(1, rounds * 3 // 5)
    report["threads"] = torch.get_num_threads()  # of all that follows
    report["whole_pipelines_ours_over_diffusers"] = pictures(work, fewer)
    report["sampling"] = ways_to_run(work, fewer, compiling=not quick)
    report["training_step"] = step_ratios(work, fewer, compiling=not quick)
    if quick:
        return report | {name: {"skipped": "--quick"} for name in ("cached_over_naive_training", "peak_memory_mb")}
    report["cached_over_naive_training"] = cached_against_naive(3)
    report["peak_memory_mb"] = {
        name: in_a_child(name, model, batch, steps) for name in tqdm(CHILDREN, desc="peak memory", unit="way")
    }
    return report


def full_shape(profile: Profile, batch: int, steps: int, rounds: int, device: str = "cuda") -> dict:
    """Sampling at a profile's shapes with random weights, on a GPU."""
    work = random_work(profile, batch, steps, device)
    report = {"image_size": profile.image_size, "batch": batch, "steps": steps}
    report |= {"same_work": same_work(work)} | headline(work, rounds)
    report["sampling"] = ways_to_run(work, rounds, compiling=True)
    return report | {"peak_memory_mb": on_the_card(work)}


def verdicts(by_threads: dict[str, dict]) -> dict:
    """What the project promises, held against each number of threads."""
    skipped = {name: one["three_branches_over_four"]["ratio"] for name, one in by_threads.items()}
    theirs = {name: one["ours_over_diffusers_per_evaluation"] for name, one in by_threads.items()}
    return {
        "skip_within_5_percent_of_0.75": {n: abs(ratio / IDEAL - 1) <= WITHIN for n, ratio in skipped.items()},
        "skip_saves_no_less": {n: ratio / IDEAL - 1 <= WITHIN for n, ratio in skipped.items()},  # more is no fault
        "no_slower_than_diffusers": {n: one["ratio"] <= 1 for n, one in theirs.items()},
        "told_apart_from_diffusers": {
            n: not one["interval"][0] <= 1 <= one["interval"][1] for n, one in theirs.items()
        },
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of little: does it run?")
    parser.add_argument("--model", type=Path, default=MODEL, help="a pipeline folder")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, os.cpu_count() or 1}), help="1 and all")
    parser.add_argument("--out", type=Path, default=repo_root() / "results" / "bench.json")
    chosen = parser.parse_args(argv)
    if min(chosen.batch, chosen.steps, chosen.rounds, *chosen.threads) < 1:
        parser.error("batch, steps, rounds and threads are 1 or more")
    sizes = (1, 2, 1) if chosen.quick else (chosen.batch, chosen.steps, chosen.rounds)
    report: dict = {
        "about": "guided sampling: medians of ratios of seconds, first named over second, rounds in turn; a ratio's "
        "seconds are of one run of each, and the interval (95%) of its median",
        "quick": chosen.quick,
        "scales": SCALES,
        "batch": sizes[0],
        "steps": sizes[1],
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }
    try:
        report["tiny"] = tiny(chosen.model, *sizes, chosen.threads, chosen.quick)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    report["holds"] = verdicts(report["tiny"]["by_threads"])
    if torch.cuda.is_available() and not chosen.quick:
        report["full"] = full_shape(FULL, chosen.batch, chosen.steps, chosen.rounds)
    else:
        report["full"] = {"skipped": "--quick" if chosen.quick else "no CUDA GPU on this machine"}
    report["load_after"] = [round(load, 2) for load in os.getloadavg()]
    report |= {"weights": weight_hashes(chosen.model)["pipeline"], "provenance": provenance(SEED)}
    write_json(chosen.out, report)
    for threads, one in report["tiny"]["by_threads"].items():
        said = ", ".join(f"{name} {found['ratio']} {found['interval']}" for name, found in one.items())
        print(f"{threads} thread(s): {said}")
    print(f"written to {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
