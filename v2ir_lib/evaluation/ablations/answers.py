"""Translations of the held-out scenes by a row's model, and their scores scene by scene."""

import numpy as np
import torch

from v2ir_lib.diffusion.components import load_unet
from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.folders import component_folders
from v2ir_lib.diffusion.guidance import branches
from v2ir_lib.diffusion.latents import decode, infrared
from v2ir_lib.diffusion.sampling import make_scheduler, sample
from v2ir_lib.evaluation import regression
from v2ir_lib.evaluation.ablations.lab import ENGINE, Lab
from v2ir_lib.evaluation.ablations.rows import Row, last_stage
from v2ir_lib.evaluation.scenes import BATCH
from v2ir_lib.metrics.distribution import FD_LEAST, feature_distance
from v2ir_lib.metrics.features import tiny_features, tiny_tower
from v2ir_lib.metrics.physics_checks import edge_agreement
from v2ir_lib.metrics.pixel import psnr, psnr_aligned, ssim
from v2ir_lib.plm.cache import cached, weights_fingerprint
from v2ir_lib.profiles import Guidance

# Each one number a scene.
METRICS = {"psnr": psnr, "ssim": ssim, "psnr_aligned": psnr_aligned, "edge_agreement": edge_agreement}
STRIDE = 100_003  # seed s draws picture i's noise from s · STRIDE + i; seed 0 draws what `v2ir translate` does


def translations(lab: Lab, row: Row, seed: int) -> np.ndarray:
    """What a row's model makes of the held-out scenes, uint8 (N, h, w); its stages must be trained."""
    stage = last_stage(row, seed)
    if row.network == "regression":
        return regression.answers(regression.start_regression(seed, lab.folder(stage) / "unet"), lab.heldout.visible)
    place = lab.folder(stage) / "unet" if stage else component_folders(lab.shipped)["unet"]
    return sampled(lab, load_unet(place), lab.known(row.told), row.told.chain, row.guidance, seed)


def sampled(
    lab: Lab, unet, known: Conditions, chain: tuple[str, ...], guidance: Guidance, seed: int, name: str = "heldout"
) -> np.ndarray:
    """Samples under Eq. 2 with the conditions of `chain`, uint8 (N, h, w), 32 at a time; each batch is cached.

    Picture i's noise depends on the seed and i alone, so that rows differ in nothing else.
    """
    scales = dict(s_text=guidance.s_text, s_visible=guidance.s_visible, s_segments=guidance.s_segments)
    chosen, encoders = branches(**scales, chain=chain), lab.encoders
    null_text, weights = encoders.text([""]), weights_fingerprint(unet)
    scheduler = make_scheduler(lab.profile.prediction)

    def made_from(chunk: slice) -> tuple:
        told = [part[chunk].numpy() for part in (known.text, known.visible, known.segments)]
        decoder = encoders.autoencoder_fingerprint, lab.profile.prediction
        asked = sorted(scales.items()), chain, guidance.steps
        return ENGINE, weights, decoder, asked, seed, chunk.start, *told

    def compute(chunk: slice) -> dict[str, np.ndarray]:
        seeds = [seed * STRIDE + i for i in range(chunk.start, chunk.stop)]
        z = sample(unet, scheduler, known.select(chunk), null_text, chosen, steps=guidance.steps, seeds=seeds)
        return {"infrared": to_pixels(infrared(decode(encoders.autoencoder, z)))}

    return cached(f"ablations-{name}", len(known), made_from, compute, size=BATCH)["infrared"]


def to_pixels(grey: torch.Tensor) -> np.ndarray:
    """Pictures (N, h, w) in [-1, 1] → uint8, rounded as the pipeline does."""
    return ((grey.float() + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy()


def scores(pictures: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Each of `METRICS` of each scene, (N,)."""
    return {name: metric(pictures, truth) for name, metric in METRICS.items()}


def fd_tiny(pictures: np.ndarray, truth: np.ndarray) -> float | None:
    """The distance of all translations from all true pictures, one number a row; None for too few of them."""
    if len(pictures) < FD_LEAST:
        return None
    tower = tiny_tower()
    return round(feature_distance(tiny_features(tower, pictures), tiny_features(tower, truth)), 4)
