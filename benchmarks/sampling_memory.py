"""The most memory that one way takes: run by benchmarks/guided_sampling.py, each way in a process of its own.

    python benchmarks/sampling_memory.py "three branches" --model models/tiny/diffv2ir --batch 8 --steps 4

Prints JSON, in MB (10^6 bytes): the resident set before, with the model loaded, and its largest increase.
"""

import argparse
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from cache_speedup import prepare
from full_size import Watch
from guided_ways import Work, as_pix2pix, guided, guided_bf16, pix2pix, pix2pix_latents, with_unet, work_of
from training_ways import SCENES, step_of

from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.profiles import TINY


def twice(step: Callable) -> Callable:
    """The second step of training has AdamW's moments."""
    return lambda: (step(), step())


def ours_as_theirs(work: Work) -> Callable:
    theirs = pix2pix(work)
    return lambda: as_pix2pix(theirs, work)


def diffusers(work: Work) -> Callable:
    theirs = pix2pix(work)
    return lambda: pix2pix_latents(theirs, work)


SAMPLING: dict[str, Callable[[Work], Callable]] = {
    "four branches": lambda work: lambda: guided(work, skip=False),
    "three branches": lambda work: lambda: guided(work),
    "one branch at a time": lambda work: lambda: guided(work, rows=work.batch),
    "ours, as InstructPix2Pix": ours_as_theirs,
    "diffusers": diffusers,
    "bf16": lambda work: lambda: guided_bf16(work),
    "compiled": lambda work: lambda: guided(with_unet(work, torch.compile(work.unet))),
}
TRAINING: dict[str, Callable[[Work], Callable]] = {
    "training step": lambda work: twice(step_of(work)),
    "training step, bf16": lambda work: twice(step_of(work, mixed=True)),
    "training step, compiled": lambda work: twice(step_of(work, compiling=True)),
}
LOOPS = {"training, cached": "cached", "training, naive": "naive"}
CHILDREN = (*SAMPLING, *TRAINING, *LOOPS)


def increase(way: Callable[[], object]) -> dict[str, float]:
    """Of this process's resident set while a way runs, once; "compiled" holds the compiling."""
    gc.collect()
    with Watch() as watch:
        way()
    return {"before": round(watch.before / 1e6, 1), "increase": round((watch.peak - watch.before) / 1e6, 1)}


def way_of(name: str, model: Path, batch: int, steps: int) -> Callable[[], object]:
    """One of `CHILDREN`, ready to run. A loop of training runs two steps."""
    if name in LOOPS:
        loops = prepare(SCENES, TINY.phase2.batch_size)
        return lambda: loops.images_per_second(LOOPS[name], 1)
    work = work_of(DiffV2IRPipeline.from_pretrained(model), batch, steps)
    return (SAMPLING | TRAINING)[name](work)


def in_a_child(name: str, model: Path, batch: int, steps: int) -> dict:
    """Its own process's answer; where it ends badly, what it said last."""
    sizes = ["--batch", str(batch), "--steps", str(steps)]
    command = [sys.executable, __file__, name, "--model", str(model), *sizes]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no word"])[-1][:200]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def on_the_card(work: Work) -> dict:
    """The same of the ways to sample, on a GPU: what PyTorch allocated there, in MB."""
    found = {}
    for name, make in SAMPLING.items():
        way = make(work)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way()
        grown = torch.cuda.max_memory_allocated() - before
        found[name] = {"before": round(before / 1e6, 1), "increase": round(grown / 1e6, 1)}
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=CHILDREN)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4)
    chosen = parser.parse_args(argv)
    print(json.dumps(increase(way_of(chosen.way, chosen.model, chosen.batch, chosen.steps))))


if __name__ == "__main__":
    main()
