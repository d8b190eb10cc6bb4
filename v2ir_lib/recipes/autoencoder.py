"""The tiny autoencoder: `AutoencoderKL`, factor 4, one for visible, infrared and segment maps alike.

It is the ceiling of every picture the tutorial makes. It learns from 96-pixel pictures: visible scenes shrunk to 96
and cut out of the full 192, infrared of every band and camera, and true segmentation maps.
"""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn

from v2ir_lib.profiles import TINY
from v2ir_lib.recipes.pictures import (
    infrared_pictures,
    random_cameras,
    segment_pictures,
    sheet,
    shrink,
    to_model,
    to_pixels,
)
from v2ir_lib.recipes.stage import Run, Stage, count_parameters, key, save_half, seed_everything, train
from v2ir_lib.world import BANDS

STEPS, BATCH, LEARNING_RATE = 5000, 8, 1.5e-3
CROP, WHOLE_FROM = 64, 0.95  # crops make more steps in the same time; the last twentieth sees whole pictures
MIX = {"visible": 0.4, "infrared": 0.4, "segments": 0.2}
GRADIENT, KL = 0.5, 1e-4  # weights beside L1


def build_autoencoder() -> AutoencoderKL:
    """An untrained autoencoder: (B, 3, H, W) in [-1, 1] to (B, 4, H/4, W/4) and back; 0.8 M parameters."""
    return AutoencoderKL(
        latent_channels=4,
        block_out_channels=(32, 48, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=16,
        sample_size=TINY.image_size,
    )


def training_pictures(run: Run) -> dict[str, np.ndarray]:
    """All that the autoencoder learns from, uint8 (N, 96, 96, 3) a kind; about 10,000 pictures, 0.3 GB."""
    size = TINY.image_size
    pairs = run.pack("pairs")
    rng = np.random.default_rng(key(run.seed, "autoencoder", "pictures"))
    print("autoencoder: preparing pictures")
    visible = [shrink(pairs.visible, size)]
    for _ in range(2):  # details, cut out of the full picture
        corners = rng.integers(0, pairs.visible.shape[1] - size + 1, (len(pairs), 2))
        visible.append(np.stack([pairs.visible[i, y : y + size, x : x + size] for i, (y, x) in enumerate(corners)]))
    grey = []
    for j, band in enumerate((*BANDS, "lwir", None)):  # every band equally, LWIR once more
        cameras = random_cameras(run, f"autoencoder/{j}", [band] * len(pairs))
        grey.append(infrared_pictures(pairs.radiance, cameras, key(run.seed, "autoencoder", j)))
    segments = [segment_pictures(pairs, list(range(len(pairs))), size)]
    return {"visible": np.concatenate(visible), "infrared": np.concatenate(grey), "segments": np.concatenate(segments)}


def draw(pictures: dict[str, np.ndarray], count: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """A batch (count, 3, size, size) in [-1, 1]: kinds in the proportions of MIX, random crops, mirrored at random."""
    kinds, weights = list(MIX), torch.tensor(list(MIX.values()))
    batch = torch.empty(count, 3, size, size)
    for row, kind in enumerate(torch.multinomial(weights, count, replacement=True, generator=generator).tolist()):
        source = pictures[kinds[kind]]
        i, flip = (int(torch.randint(n, (), generator=generator)) for n in (len(source), 2))
        y, x = torch.randint(source.shape[1] - size + 1, (2,), generator=generator).tolist()
        crop = source[i, y : y + size, x : x + size]
        batch[row] = to_model((crop[:, ::-1] if flip else crop).copy()[None])[0]
    return batch


def reconstruction_loss(answer: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean |difference| of the pixels, and of their finite differences in x and y (edges count twice)."""
    error = answer - truth
    gradient = (error[..., 1:] - error[..., :-1]).abs().mean() + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean(), gradient


@torch.no_grad()
def measured_scaling_factor(vae: AutoencoderKL, pictures: list[np.ndarray], generator: torch.Generator) -> float:
    """1 / standard deviation of posterior samples, over all numbers of all latents, so that z_0 has unit variance."""
    samples = [encode_all(vae, some, generator) for some in pictures]
    return float(1 / torch.cat([sample.flatten() for sample in samples]).std())


@torch.no_grad()
def encode_all(vae: AutoencoderKL, pictures: np.ndarray, generator: torch.Generator) -> torch.Tensor:
    """Posterior samples (N, 4, h, w), unscaled, of uint8 (N, H, W, 3)."""
    parts = []
    for start in range(0, len(pictures), 32):
        posterior = vae.encode(to_model(pictures[start : start + 32]).to(vae.device)).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(vae.device)
        parts.append((posterior.mean + posterior.std * noise).cpu())
    return torch.cat(parts)


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pictures: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, 3) through the posterior's mode and back to uint8."""
    parts = []
    for start in range(0, len(pictures), 32):
        batch = to_model(pictures[start : start + 32]).to(vae.device)
        parts.append(to_pixels(vae.decode(vae.encode(batch).latent_dist.mode()).sample))
    return np.concatenate(parts)


def train_autoencoder(run: Run) -> None:
    """Train, measure the scaling factor, write models/tiny/autoencoder and figures/autoencoder.jpg."""
    seed_everything(run.seed, "autoencoder", "weights")
    vae = build_autoencoder().to(run.device)  # not channels_last: its GroupNorm backward is five times slower on a CPU
    pictures = training_pictures(run)
    print("autoencoder:", ", ".join(f"{len(some)} {kind}" for kind, some in pictures.items()))
    whole_from = int(WHOLE_FROM * (run.steps or STEPS))

    def loss(step: int, generator: torch.Generator):
        size = TINY.image_size if step >= whole_from else CROP
        truth = draw(pictures, BATCH, size, generator).to(run.device)
        posterior = vae.encode(truth).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(run.device)
        answer = vae.decode(posterior.mean + posterior.std * noise).sample
        l1, gradient = reconstruction_loss(answer, truth)
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        psnr = -10 * torch.log10(nn.functional.mse_loss(answer, truth).detach() / 4)
        return l1 + GRADIENT * gradient + KL * kl, {"l1": l1, "kl": kl, "psnr": psnr}

    def finish(out: Path) -> dict:
        generator = torch.Generator().manual_seed(key(run.seed, "autoencoder", "scaling"))
        some = [pictures[kind][:: max(1, len(pictures[kind]) // 256)] for kind in ("visible", "infrared")]
        scaling_factor = measured_scaling_factor(vae, some, generator)
        vae.register_to_config(scaling_factor=scaling_factor)
        save_half(vae, out / "autoencoder")
        rows = []
        for kind in pictures:
            shown = pictures[kind][:: max(1, len(pictures[kind]) // 10)][:10]
            rows += [shown, reconstruct(vae, shown)]
        sheet(run.figure("autoencoder"), rows)
        return {"parameters": count_parameters(vae), "scaling_factor": scaling_factor}

    stage = Stage("autoencoder", vae, loss, finish, STEPS, BATCH, LEARNING_RATE, ema_decay=0.995, weight_decay=0.0)
    train(stage, run)
