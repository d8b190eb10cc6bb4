"""What a model in training makes of its own first scenes: the sheet that `train` draws every so often."""

from collections.abc import Callable

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from matplotlib.figure import Figure

from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.guidance import branches
from v2ir_lib.diffusion.latents import decode
from v2ir_lib.diffusion.sampling import make_scheduler, sample
from v2ir_lib.figures import picture_grid
from v2ir_lib.plm.dataset import PhaseData
from v2ir_lib.plm.imagine import imagine
from v2ir_lib.plm.phases import Phase
from v2ir_lib.plm.prepare import Encoders

SCENES = 6


Draw = Callable[[UNet2DConditionModel], Figure]


def sheet_of(phase: Phase, data: PhaseData, encoders: Encoders, seed: int = 0) -> Draw:
    """A function that draws: visible, true infrared and translation of the first scenes, always from the same noise.

    Phase 1 has no visible pictures: there, what the prompt alone gives, above infrared pictures it learns from.
    """
    count, guidance = min(SCENES, data.scenes), encoders.profile.guidance
    first, scenes = [0] * count, list(range(count))
    factor, device = encoders.scaling_factor, encoders.device
    null_text = encoders.text([""]).to(device)
    text = data.text_states(scenes).to(device)

    def grey(latents: torch.Tensor) -> list[np.ndarray]:
        return [picture.mean(axis=-1).round().astype(np.uint8) for picture in _pictures(encoders, latents)]

    truth = grey(data.infrared_moments(scenes, first, first)[:, :4] * factor)

    def draw_phase1(unet):
        made = imagine(
            unet,
            encoders.autoencoder,
            text,
            null_text,
            latent_size=data.latent_shape[1],
            prediction=phase.prediction,
            s_text=guidance.s_text,
            steps=guidance.steps,
            seed=seed,
        )
        return _close(picture_grid([list(made), truth], labels=[phase.prompt, "infrared pictures"]))

    if not phase.conditions:
        return draw_phase1
    seen = data.visible_latents(scenes, first), data.segment_latents(scenes, first)
    conditions = Conditions(text, *(latents.to(device) for latents in seen))
    visible = _pictures(encoders, seen[0] * factor)
    chosen = branches(guidance.s_text, guidance.s_visible, guidance.s_segments)

    def draw(unet):
        seeds = [seed + i for i in range(count)]
        z = sample(unet, make_scheduler(phase.prediction), conditions, null_text, chosen, guidance.steps, seeds)
        rows = [list(row) for row in zip(visible, truth, grey(z), strict=True)]
        return _close(picture_grid(rows, columns=["visible", "infrared", "translation"]))

    return draw


def _pictures(encoders: Encoders, latents: torch.Tensor) -> list[np.ndarray]:
    """Scaled latents (B, 4, h, w) as B pictures, uint8 (H, W, 3)."""
    images = decode(encoders.autoencoder, latents.to(encoders.device)).cpu()
    return list(((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())


def _close(figure: Figure) -> Figure:
    """The figure, no longer kept by pyplot, which would hold every one of a long run."""
    import matplotlib.pyplot as plt

    plt.close(figure)
    return figure
