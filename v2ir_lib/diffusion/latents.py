"""Pictures to latents and back, with the released code's asymmetry.

The target is a *sample* of the posterior, times the autoencoder's scaling factor; a condition is the posterior's
*mode*, unscaled. So a condition is not what z would be for the same picture; the first convolution learns that.
"""

import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from v2ir_lib.diffusion.tiles import Tiling


@torch.no_grad()
def moments(vae: AutoencoderKL, images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) in [-1, 1] → mean and log-variance (B, 8, H/f, W/f), what a cache of latents keeps."""
    return vae.encode(images).latent_dist.parameters


def target_from_moments(parameters: torch.Tensor, scaling_factor: float, noise: torch.Tensor) -> torch.Tensor:
    """z_0 (B, 4, h, w): mean + std · noise, scaled to about unit variance; noise ~ N(0, 1) is drawn by the caller."""
    posterior = DiagonalGaussianDistribution(parameters)
    return (posterior.mean + posterior.std * noise) * scaling_factor


def condition_from_moments(parameters: torch.Tensor) -> torch.Tensor:
    """A condition (B, 4, h, w): the posterior's mode, unscaled."""
    return DiagonalGaussianDistribution(parameters).mode()


def encode_target(vae: AutoencoderKL, images: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Images (B, 3, H, W) in [-1, 1] to the diffusion target z_0 (B, 4, h, w), sampled and scaled."""
    parameters = moments(vae, images)
    shape = (len(parameters), parameters.shape[1] // 2, *parameters.shape[2:])
    noise = torch.randn(shape, generator=generator, device=generator.device if generator else None)
    return target_from_moments(parameters, vae.config.scaling_factor, noise.to(parameters))


def encode_condition(vae: AutoencoderKL, images: torch.Tensor, tiling: Tiling | None = None) -> torch.Tensor:
    """Images (B, 3, H, W) in [-1, 1] to a condition (B, 4, h, w), mode and unscaled; blended from tiles, if given."""

    def encode(images: torch.Tensor) -> torch.Tensor:
        return condition_from_moments(moments(vae, images))

    return encode(images) if tiling is None else tiling.map(encode, images)


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: torch.Tensor, tiling: Tiling | None = None) -> torch.Tensor:
    """z_0 (B, 4, h, w), scaled, to images (B, 3, H, W) clamped to [-1, 1]; blended from tiles, if given."""

    def picture(latents: torch.Tensor) -> torch.Tensor:
        return vae.decode(latents / vae.config.scaling_factor).sample.clamp(-1, 1)

    return picture(latents) if tiling is None else tiling.map(picture, latents)


def infrared(images: torch.Tensor) -> torch.Tensor:
    """One channel out of the decoder's three: their mean, (B, 3, H, W) → (B, H, W)."""
    return images.mean(dim=1)
