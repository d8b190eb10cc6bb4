"""Pictures from words alone: what the text-to-image model, before and after phase 1, takes a prompt to mean."""

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from v2ir_lib.diffusion.latents import decode
from v2ir_lib.diffusion.sampling import generators_for, make_scheduler, seeded_noise


@torch.no_grad()
def imagine(
    unet: UNet2DConditionModel,
    autoencoder: AutoencoderKL,
    text: torch.Tensor,
    null_text: torch.Tensor,
    *,
    latent_size: int,
    prediction: str,
    s_text: float = 3.0,
    steps: int = 20,
    seed: int = 0,
) -> np.ndarray:
    """One picture for each prompt, uint8 (B, H, W, 3), by a UNet of 4 input channels.

    text (B, L, D), null_text (1, L, D): hidden states of the prompts and of "". Classifier-free guidance with the one
    condition there is: eps = eps(∅) + s_text · (eps(text) − eps(∅)), or v alike, as `prediction` says. Picture i
    starts from seed + i.
    """
    scheduler, count = make_scheduler(prediction), len(text)
    scheduler.set_timesteps(steps)
    generators = generators_for([seed + i for i in range(count)])
    z = seeded_noise(generators, (4, latent_size, latent_size)) * scheduler.init_noise_sigma
    both = torch.cat([null_text.expand_as(text), text])
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(z, t).to(unet.device).repeat(2, 1, 1, 1)
        without, given = unet(scaled, t, encoder_hidden_states=both.to(unet.device)).sample.cpu().chunk(2)
        z = scheduler.step(without + s_text * (given - without), t, z, generator=generators).prev_sample
    pictures = decode(autoencoder, z.to(autoencoder.device)).cpu()
    return ((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
