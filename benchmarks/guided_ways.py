"""What benchmarks/guided_sampling.py compares: ways to sample one batch from one UNet. Imported, not run."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from full_size import encode, make_unet
from PIL import Image

from v2ir_lib.diffusion.components import encode_text
from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.guidance import PAPER_CHAIN, branches
from v2ir_lib.diffusion.images import resize
from v2ir_lib.diffusion.latents import condition_from_moments
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.diffusion.sampling import generators_for, make_scheduler, sample
from v2ir_lib.errors import UserError
from v2ir_lib.profiles import Profile
from v2ir_lib.tutorial.samples import read_samples, true_regions

SCALES = (7.5, 1.5, 1.5)  # the paper's best: s_T, s_V, s_S; one branch of four has weight 0
PIX2PIX_CHAIN = ("visible", "text")  # Brooks et al. 2023: without segments Eq. 2 is theirs, of three branches


@dataclass(frozen=True)
class Work:
    """One UNet, and a batch of B conditions for it on its device. `pipeline` is None where parts are random."""

    unet: UNet2DConditionModel
    scheduler: EulerAncestralDiscreteScheduler
    vae: AutoencoderKL
    conditions: Conditions
    null_text: torch.Tensor
    steps: int
    pipeline: DiffV2IRPipeline | None = None
    visible: tuple[np.ndarray, ...] = ()  # B pictures of the working size, uint8 (H, W, 3)
    maps: tuple[np.ndarray, ...] = ()  # their segment maps
    prompts: tuple[str, ...] = ()

    @property
    def batch(self) -> int:
        return len(self.conditions)

    @property
    def seeds(self) -> list[int]:
        return list(range(self.batch))


@torch.no_grad()
def work_of(pipeline: DiffV2IRPipeline, batch: int, steps: int) -> Work:
    """The first sample scenes, with true captions and regions: BLIP and SAM have no part in what is compared.

    `UserError` where there are fewer.
    """
    samples = read_samples(batch)
    if len(samples) < batch:
        raise UserError(f"there are {len(samples)} sample scenes: --batch {batch} is too many")
    size = (pipeline.config.image_size,) * 2
    visible, maps = ([resize(picture, *size) for picture in part] for part in (samples.visible, true_regions(samples)))
    prompts, _ = pipeline.words([], [pipeline.config.template] * batch, samples.captions)
    return Work(
        pipeline.unet,
        pipeline.scheduler,
        pipeline.vae,
        pipeline.conditions(visible, prompts, maps),
        encode_text(pipeline.tokenizer, pipeline.text_encoder, [""]),
        steps,
        pipeline,
        tuple(visible),
        tuple(maps),
        tuple(prompts),
    )


def random_work(profile: Profile, batch: int, steps: int, device: str) -> Work:
    """A profile's shapes with random weights, one random picture `batch` times over."""
    encoded, text = encode(profile)
    visible, segments = (condition_from_moments(encoded[name]) for name in ("visible", "segments"))
    one = Conditions(text[:1], visible, segments).to(device)
    unet = make_unet(profile).eval().to(device)
    vae = AutoencoderKL.from_config(profile.autoencoder).eval().to(device)
    scheduler = make_scheduler(profile.prediction)
    return Work(unet, scheduler, vae, Conditions.cat([one] * batch), text[1:].to(device), steps)


def guided(work: Work, *, skip: bool = True, rows: int | None = None, chain: tuple[str, ...] = PAPER_CHAIN):
    """Our loop, from conditions to z_0 (B, 4, h, w); `rows` of the branches' batch at a time."""
    every = branches(*SCALES, chain, skip=skip)
    return sample(work.unet, work.scheduler, work.conditions, work.null_text, every, work.steps, work.seeds, slice=rows)


def guided_bf16(work: Work) -> torch.Tensor:
    """The same with what autocast runs in bf16; weights stay float32."""
    with torch.autocast(work.conditions.visible.device.type, torch.bfloat16):
        return guided(work)


def with_unet(work: Work, unet) -> Work:
    return replace(work, unet=unet)


def narrowed(unet: UNet2DConditionModel, channels: int = 8) -> UNet2DConditionModel:
    """A copy that reads [z, V] alone. Where the segments are absent, a zero latent, it is the same function."""
    narrow, old = copy.deepcopy(unet), unet.conv_in
    narrow.conv_in = torch.nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding)
    narrow.conv_in.to(old.weight.device, old.weight.dtype)
    with torch.no_grad():
        narrow.conv_in.weight.copy_(old.weight[:, :channels])
        narrow.conv_in.bias.copy_(old.bias)
    narrow.register_to_config(in_channels=channels)
    return narrow


class FirstChannels(torch.nn.Module):
    """A UNet for [z, V] as our loop calls one for [z, V, S], which are zeros: both loops then run one network."""

    def __init__(self, unet: UNet2DConditionModel):
        super().__init__()
        self.unet = unet

    def forward(self, x: torch.Tensor, t: torch.Tensor, encoder_hidden_states: torch.Tensor):
        return self.unet(x[:, : self.unet.config.in_channels], t, encoder_hidden_states=encoder_hidden_states)


def pix2pix(work: Work) -> StableDiffusionInstructPix2PixPipeline:
    """diffusers' pipeline around the same weights, without a safety checker."""
    ours = work.pipeline
    theirs = StableDiffusionInstructPix2PixPipeline(
        vae=work.vae,
        text_encoder=None if ours is None else ours.text_encoder,
        tokenizer=None if ours is None else ours.tokenizer,
        unet=narrowed(work.unet),
        scheduler=work.scheduler.from_config(work.scheduler.config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    theirs.set_progress_bar_config(disable=True)
    return theirs


def as_pix2pix(theirs: StableDiffusionInstructPix2PixPipeline, work: Work) -> torch.Tensor:
    """Our loop on their network: visible picture and words, three branches."""
    return guided(with_unet(work, FirstChannels(theirs.unet)), chain=PIX2PIX_CHAIN)


def pix2pix_latents(theirs: StableDiffusionInstructPix2PixPipeline, work: Work) -> torch.Tensor:
    """Their loop, from the same conditions and the same noise to z_0: nothing is encoded or decoded, as in `guided`."""
    s_text, s_visible, _ = SCALES
    return theirs(
        image=work.conditions.visible,
        prompt_embeds=work.conditions.text,
        negative_prompt_embeds=work.null_text.expand_as(work.conditions.text),
        num_inference_steps=work.steps,
        guidance_scale=s_text,
        image_guidance_scale=s_visible,
        generator=generators_for(work.seeds),
        output_type="latent",
    ).images


def pix2pix_pictures(theirs: StableDiffusionInstructPix2PixPipeline, work: Work) -> list:
    """Their whole pipeline, from words and pictures of the working size to pictures."""
    s_text, s_visible, _ = SCALES
    return theirs(
        prompt=list(work.prompts),
        image=[Image.fromarray(picture) for picture in work.visible],
        num_inference_steps=work.steps,
        guidance_scale=s_text,
        image_guidance_scale=s_visible,
        generator=generators_for(work.seeds),
    ).images


def our_pictures(work: Work) -> list:
    """Our whole pipeline, from the same; it encodes a segment map as well, and its three branches are not theirs."""
    scales = dict(zip(("s_text", "s_visible", "s_segments"), SCALES, strict=True))
    return work.pipeline(
        work.visible,
        prompt=work.prompts,
        segments=work.maps,
        seed=work.seeds,
        steps=work.steps,
        batch_size=work.batch,
        **scales,
    ).images
