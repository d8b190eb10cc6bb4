"""The text-to-image model of visible scenes: what Stable Diffusion v1.5 is at full size. It never sees infrared.

Plain latent diffusion (paper Eq. 1, §3.1) from nothing, on the captioned scenes: given the caption, tell
noise and picture apart (`diffusion.noising`).
"""

from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from v2ir_lib.diffusion.latents import target_from_moments
from v2ir_lib.diffusion.noising import add_noise, offset_noise, question
from v2ir_lib.diffusion.sampling import make_scheduler
from v2ir_lib.plm.cache import cached
from v2ir_lib.plm.imagine import imagine
from v2ir_lib.plm.prepare import Encoders
from v2ir_lib.profiles import TINY
from v2ir_lib.recipes.pictures import sheet
from v2ir_lib.recipes.stage import Run, Stage, count_parameters, save_half, seed_everything, train

STEPS, BATCH, LEARNING_RATE = 2000, 16, 1e-3
TEXT_DROPOUT = 0.1  # share of captions replaced by "", for guidance without a classifier
CROPS = 3  # latents cached of each scene: the whole picture, and two crops of which one is mirrored
SHOWN = (
    "a street by day in summer under a clear sky seen from a car, with two people, a car and trees",
    "a street at night in winter after rain seen from a car, with two cars and a bus",
    "a park by day in summer under an overcast sky seen by hand, with a person, an animal and trees",
    "a parking lot by day in winter in fog seen from a pole, with several cars",
    "a waterside at dusk in summer under a clear sky seen by hand, with two people and a bicycle",
    "a residential road by day in winter under a clear sky seen from above, with a car and trees",
    "a campus at night in summer under a clear sky seen from a pole, with three people",
    "a street at dusk in summer in fog seen from a car, with a truck and a person",
)


def build_base() -> UNet2DConditionModel:
    """An untrained UNet of the tiny profile: 4 latent channels and a caption in, 4 channels of noise out."""
    return UNet2DConditionModel(**TINY.unet)


def base_encoders(run: Run) -> Encoders:
    """The autoencoder and the text encoder in front of it; BLIP and SAM are not needed here."""
    folders = {part: run.models / part for part in ("autoencoder", "text_encoder", "tokenizer")}
    return Encoders(TINY, folders, run.device)


def visible_moments(pack, encoders: Encoders) -> np.ndarray:
    """Posterior moments of each scene's crops, float16 (N, CROPS, 8, 24, 24), from the cache where they are there."""

    def made_from(chunk: slice) -> tuple:
        return encoders.key, CROPS, chunk.start, np.asarray(pack.visible[chunk])

    def compute(chunk: slice) -> dict[str, np.ndarray]:
        return {"moments": encoders.crop_moments(pack.visible[chunk], chunk, CROPS)}

    return cached(f"moments-{pack.name}-visible", len(pack), made_from, compute, size=64)["moments"]


def train_base(run: Run) -> None:
    """Train, write models/tiny/base_unet and figures/base.jpg: two samples for each of eight captions."""
    encoders = base_encoders(run)
    packs = [run.pack(name) for name in ("captioned", "pairs")]
    print("base: encoding pictures and captions, once")
    moments = torch.from_numpy(np.concatenate([visible_moments(pack, encoders) for pack in packs]))
    captions = [caption for pack in packs for caption in pack.captions]
    different = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
    texts = encoders.text([*different, ""])  # the last is the null text
    words = torch.tensor([different[caption] for caption in captions])
    alpha_bar = make_scheduler().alphas_cumprod
    scaling_factor = encoders.scaling_factor
    seed_everything(run.seed, "base", "weights")
    unet = build_base().to(run.device)  # not channels_last: a quarter slower on a CPU
    print(f"base: {len(moments)} scenes, {len(different)} captions, {count_parameters(unet) / 1e6:.2f} M parameters")

    def loss(step: int, generator: torch.Generator):
        scene = torch.randint(len(moments), (BATCH,), generator=generator)
        crop = torch.randint(CROPS, (BATCH,), generator=generator)
        t = torch.randint(len(alpha_bar), (BATCH,), generator=generator)
        dropped = torch.rand(BATCH, generator=generator) < TEXT_DROPOUT
        noise, eps = torch.randn(2, BATCH, 4, *moments.shape[-2:], generator=generator)
        eps = offset_noise(eps, torch.randn(BATCH, 4, generator=generator), TINY.noise_offset)
        z_0 = target_from_moments(moments[scene, crop].float(), scaling_factor, noise)
        a = alpha_bar[t].reshape(-1, 1, 1, 1)
        z_t, asked = add_noise(z_0, eps, a), question(z_0, eps, a, TINY.prediction)
        text = texts[words[scene].masked_fill(dropped, len(different))]
        answer = unet(z_t.to(run.device), t.to(run.device), encoder_hidden_states=text.to(run.device)).sample
        return (answer - asked.to(run.device)).square().mean(), {}

    def finish(out: Path) -> dict:
        save_half(unet, out / "base_unet")
        known = encoders.text([*SHOWN, ""])
        text, null = known[:-1].repeat(2, 1, 1), known[-1:]
        settings = dict(latent_size=latent_size(), prediction=TINY.prediction, seed=run.seed)
        samples = imagine(unet, encoders.autoencoder, text, null, **settings)
        sheet(run.figure("base"), [samples[: len(SHOWN)], samples[len(SHOWN) :]])
        return {"parameters": count_parameters(unet), "scenes": len(moments), "captions": len(different)}

    train(Stage("base", unet, loss, finish, STEPS, BATCH, LEARNING_RATE, warmup_steps=100, ema_decay=0.998), run)


def latent_size() -> int:
    """Side of the latent that the UNet was made for."""
    return TINY.unet["sample_size"]
