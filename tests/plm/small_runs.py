"""A small phase on random latents and a small random UNet: a step takes milliseconds."""

from dataclasses import replace

import numpy as np
import torch

from v2ir_lib.plm.dataset import PhaseData
from v2ir_lib.plm.phases import get_phase
from v2ir_lib.profiles import TINY


def small_phase(name: str, **settings):
    """That phase of the tiny profile with 4 samples a step, whole crops, and Eq. 1 as it stands."""
    phase = get_phase(name, TINY)
    settings = {"steps": 6, "batch_size": 4, "warmup_steps": 1, "snr_gamma": None, "window": 0} | settings
    prediction = settings.pop("prediction", "epsilon")
    return replace(phase, prediction=prediction, settings=replace(phase.settings, **settings))


def small_data(phase, scenes: int = 5, seed: int = 0) -> PhaseData:
    """Random moments of `scenes` scenes, 3 crops, 2 looks, on latents of 8 × 8."""
    rng = np.random.default_rng(seed)

    def latents(*shape: int) -> np.ndarray:
        return rng.normal(0, 1, shape).astype(np.float16)

    infrared = latents(scenes, 3, 2, 8, 8, 8)
    infrared[..., 4:, :, :] -= 6  # log-variances: a sharp posterior
    conditions = [latents(scenes, 3, 4, 8, 8) if phase.conditions else None for _ in range(2)]
    text = torch.randn(scenes if phase.needs_captions else 1, 7, 32, generator=torch.Generator().manual_seed(seed))
    return PhaseData(infrared, *conditions, text)


def small_unet(in_channels: int, seed: int = 0):
    """A UNet with the tiny profile's blocks, some 60,000 parameters."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=32,
        norm_num_groups=4,
    )
