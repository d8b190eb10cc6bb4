"""Ways to train that benchmarks/guided_sampling.py compares: a step plain, bf16, compiled; cached, naive. Imported."""

import copy
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import torch
from cache_speedup import prepare
from full_size import make_optimiser, make_step
from guided_ways import Work
from ratios import compiled_or_why, in_turn
from tqdm.auto import tqdm

from v2ir_lib.diffusion.images import to_model
from v2ir_lib.diffusion.latents import moments
from v2ir_lib.profiles import TINY

SCENES = 64  # of the pack that the training loops run over


def step_of(work: Work, mixed: bool = False, compiling: bool = False, batch: int | None = None) -> Callable:
    """A whole step of training (`full_size.make_step`) of a copy of a work's UNet, tiny training's batch by default."""
    batch = TINY.phase2.batch_size if batch is None else batch
    unet = copy.deepcopy(work.unet).train()
    shown = {"visible": work.visible[:1], "segments": work.maps[:1], "infrared": work.visible[:1]}
    encoded = {name: moments(work.vae, to_model(list(pictures))) for name, pictures in shown.items()}
    profile = replace(
        TINY,
        autoencoder={"scaling_factor": work.vae.config.scaling_factor},
        prediction=work.scheduler.config.prediction_type,
    )
    text = torch.cat([work.conditions.text[:1], work.null_text])
    network = torch.compile(unet) if compiling else unet
    return make_step(network, make_optimiser(unet, profile), profile, encoded, text, batch, "cpu", mixed)


def step_ratios(work: Work, rounds: int, compiling: bool, batch: int | None = None) -> dict:
    """Ratios of seconds over a plain step."""
    plain, mixed = step_of(work, batch=batch), step_of(work, mixed=True, batch=batch)
    report = {"batch": batch or TINY.phase2.batch_size}
    report["bf16_over_float32"] = in_turn(mixed, plain, rounds, "training, bf16 / float32")
    if compiling:
        step = step_of(work, compiling=True, batch=batch)
        report["compiled_over_eager"] = compiled_or_why(
            step, lambda: in_turn(step, plain, rounds, "training, compiled / eager")
        )
    return report


def cached_against_naive(rounds: int, scenes: int = SCENES, batch: int = TINY.phase2.batch_size) -> dict:
    """Images a second, cached over naive: a short version of benchmarks/cache_speedup.py, which says what naive is."""
    loops = prepare(scenes, batch)
    pairs = [
        (loops.images_per_second("cached", 10), loops.images_per_second("naive", 1))
        for _ in tqdm(range(rounds), desc="training, cached / naive", unit="round", leave=False)
    ]
    ratios = [cached / naive for cached, naive in pairs]
    return {
        "speed_ratio": round(median(ratios), 2),
        "range": [round(min(ratios), 2), round(max(ratios), 2)],
        "rounds": rounds,
        "images_per_second": [round(median(column), 3) for column in zip(*pairs, strict=True)],  # cached, naive
        "batch": batch,
    }
