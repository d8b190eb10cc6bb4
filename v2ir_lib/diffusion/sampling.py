"""From noise to an infrared latent: Euler ancestral, our own loop, diffusers' scheduler."""

from collections.abc import Callable

import torch
from diffusers import EulerAncestralDiscreteScheduler, UNet2DConditionModel

from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.guidance import Branch, branch_conditions, combine
from v2ir_lib.diffusion.widening import unet_input


def make_scheduler(prediction: str = "epsilon") -> EulerAncestralDiscreteScheduler:
    """Euler ancestral with the released code's sigmas: sigma_max = 14.6146.

    Stable Diffusion's betas (scaled-linear, 0.00085 to 0.012), timesteps spread evenly over the whole range
    ("linspace"; the other spacings do not begin at sigma_max). `prediction` says what the network answers: `noising`.
    """
    return EulerAncestralDiscreteScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="linspace",
        prediction_type=prediction,
    )


def seeded_noise(generators: list[torch.Generator], shape: tuple[int, ...]) -> torch.Tensor:
    """N(0, 1) noise (B, *shape) on the CPU, one generator a sample, so that no sample depends on its neighbours."""
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])


def generators_for(seeds: list[int]) -> list[torch.Generator]:
    """One CPU generator a sample: the same noise whatever the device that computes."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


@torch.no_grad()
def sample(
    unet: UNet2DConditionModel,
    scheduler: EulerAncestralDiscreteScheduler,
    conditions: Conditions,
    null_text: torch.Tensor,
    branches: tuple[Branch, ...],
    steps: int,
    seeds: list[int],
    callback: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Guided sampling of z_0 (B, 4, h, w), scaled as the targets were; at each step all branches run in one batch.

    Conditions never change on the way, so they are joined once. `callback(step, z, z_0 estimate)` after each step.
    """
    device = conditions.visible.device
    generators = generators_for(seeds)
    scheduler.set_timesteps(steps, device=device)
    z = seeded_noise(generators, tuple(conditions.visible.shape[1:])).to(device) * scheduler.init_noise_sigma
    known = branch_conditions(conditions, null_text, branches)
    for step, t in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(z, t)  # z alone: conditions are never scaled
        x = unet_input(scaled.repeat(len(branches), 1, 1, 1), known.visible, known.segments)
        answer = combine(unet(x, t, encoder_hidden_states=known.text).sample, branches)
        done = scheduler.step(answer, t, z, generator=generators)
        z = done.prev_sample
        if callback is not None:
            callback(step, z, done.pred_original_sample)
    return z
