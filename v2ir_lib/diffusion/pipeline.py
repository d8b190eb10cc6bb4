"""DiffV2IR from end to end: a visible picture → words and segments → Eq. 2 → an infrared picture of the same size."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from PIL import Image
from transformers import BlipForConditionalGeneration, BlipProcessor, CLIPTextModel, CLIPTokenizer

from v2ir_lib.diffusion import images as pictures
from v2ir_lib.diffusion.components import encode_text
from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.folders import load_components, save_components
from v2ir_lib.diffusion.guidance import guided
from v2ir_lib.diffusion.latents import decode, encode_condition, infrared
from v2ir_lib.diffusion.sampling import evaluations, sample, scheduler_like
from v2ir_lib.diffusion.settings import Sampling
from v2ir_lib.diffusion.tiles import Tiling
from v2ir_lib.diffusion.translation import Translation
from v2ir_lib.errors import UserError
from v2ir_lib.profiles import Profile
from v2ir_lib.vlum.captioner import describe
from v2ir_lib.vlum.prompts import TEMPLATE, fit_prompt, make_prompt
from v2ir_lib.vlum.segmenter import SamWrapper, automatic_masks
from v2ir_lib.vlum.segments import render


class DiffV2IRPipeline(DiffusionPipeline):
    """Components as diffusers, transformers and segment-anything know them, and the settings they were trained with.

    image_size, reading_size: pixels, what the UNet works at (square root of the area) and what BLIP and SAM read
    (longer side). template: the prompt with `{caption}` in it. segments: how masks are drawn. s_*, steps: the defaults.
    """

    _optional_components = ["captioner", "captioner_processor", "segmenter"]  # noqa: RUF012, diffusers' own convention

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: EulerAncestralDiscreteScheduler,
        captioner: BlipForConditionalGeneration | None = None,
        captioner_processor: BlipProcessor | None = None,
        segmenter: SamWrapper | None = None,
        image_size: int = 96,
        reading_size: int = 192,
        template: str = TEMPLATE,
        segments: str = "regions",
        caption_tokens: int = 48,
        caption_beams: int = 3,
        s_text: float = 1.5,
        s_visible: float = 1.5,
        s_segments: float = 1.5,
        steps: int = 20,
    ):
        super().__init__()
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            captioner=captioner,
            captioner_processor=captioner_processor,
            segmenter=segmenter,
        )
        self.register_to_config(
            image_size=image_size,
            reading_size=reading_size,
            template=template,
            segments=segments,
            caption_tokens=caption_tokens,
            caption_beams=caption_beams,
            s_text=s_text,
            s_visible=s_visible,
            s_segments=s_segments,
            steps=steps,
        )

    @property
    def factor(self) -> int:
        """Pixels along a side for one of the latent: the autoencoder's factor."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def multiple(self) -> int:
        """Pixels that each side must be a multiple of: the autoencoder's factor times the UNet's."""
        return self.factor * 2 ** (len(self.unet.config.block_out_channels) - 1)

    @torch.no_grad()
    def __call__(
        self,
        images: Sequence[np.ndarray | Image.Image] | np.ndarray | Image.Image,
        prompt: str | Sequence[str] | None = None,
        caption: str | Sequence[str] | None = None,
        segments: Sequence[np.ndarray] | None = None,
        *,
        s_text: float | None = None,
        s_visible: float | None = None,
        s_segments: float | None = None,
        steps: int | None = None,
        seed: int | Sequence[int] = 0,
        batch_size: int = 8,
        how: Sampling | None = None,
        trajectory: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Translation:
        """Translate pictures of any sizes (PIL, or uint8 (H, W, 3)) into infrared ones of the same sizes.

        prompt, caption: one for all or one each; a prompt stands as it is, unless it holds `{caption}`; without either,
        BLIP writes the caption. segments: maps to use in place of SAM's, uint8 (h, w, 3) of any size. A scale, or
        steps, of None is the model's own default. seed: one number (picture i gets seed + i), or one each. Pictures
        that work at one size run together, `batch_size` at a time. how: sampler, order of Eq. 2, tiles and more; by
        default the paper's. progress(number) is called after every step, with Heun after every evaluation.
        """
        how = how or Sampling()
        images = [images] if isinstance(images, np.ndarray | Image.Image) else list(images)
        images = [pictures.to_rgb(image) if isinstance(image, Image.Image) else image for image in images]
        for image in images:
            pictures.check_size(image.shape[1::-1], "the picture")
        count = len(images)
        seeds = [seed + i for i in range(count)] if isinstance(seed, int) else [int(one) for one in seed]
        segments = [None] * count if segments is None else list(segments)
        captions, prompts = _one_each(caption, count), _one_each(prompt, count)
        if not len(seeds) == len(segments) == len(captions) == len(prompts) == count:
            raise ValueError(f"seeds, segments, captions and prompts must be one for each of the {count} pictures")

        reading = [self.read(image) for image in images]
        segments = [
            self.segment(small) if given is None else given for small, given in zip(reading, segments, strict=True)
        ]
        prompts, captions = self.words(reading, prompts, captions)
        scales = {"s_text": s_text, "s_visible": s_visible, "s_segments": s_segments}
        scales = {name: self.config[name] if value is None else value for name, value in scales.items()}
        steps, every = steps or self.config.steps, guided(**scales, how=how)
        ours = how.sampler == "euler-ancestral"
        scheduler = self.scheduler if ours else scheduler_like(self.scheduler, how.sampler)
        needed = evaluations(scheduler, every, steps)
        null_text = encode_text(self.tokenizer, self.text_encoder, [""])

        done: list = [None] * count
        evaluated: list = [0] * count
        trajectories: list = [[] for _ in range(count)]
        for chunk in self._chunks(images, batch_size, how):
            tiling = self.tiling(images[chunk[0]], how)
            conditions = self.conditions(
                [images[i] for i in chunk], [prompts[i] for i in chunk], [segments[i] for i in chunk], how
            )

            def watch(step, _, estimate, chunk=chunk, tiling=tiling):
                if trajectory:
                    for i, grey in zip(chunk, infrared(decode(self.vae, estimate, tiling)), strict=True):
                        trajectories[i].append(pictures.to_grey(grey, *grey.shape))
                if progress is not None:
                    progress(step)

            z = sample(
                self.unet,
                scheduler,
                conditions,
                null_text,
                every,
                steps=steps,
                seeds=[seeds[i] for i in chunk],
                callback=watch if trajectory or progress is not None else None,
                rescale=how.rescale,
                slice=how.slice,
                tiling=tiling,
            )
            for i, grey in zip(chunk, infrared(decode(self.vae, z, tiling)), strict=True):
                done[i] = pictures.to_grey(grey, *images[i].shape[:2])
                evaluated[i] = needed * (1 if tiling is None else len(tiling))
        return Translation(done, captions, prompts, segments, seeds, evaluated, trajectories if trajectory else None)

    def read(self, image: np.ndarray) -> np.ndarray:
        """The picture as BLIP and SAM see it: uint8 (h, w, 3), longer side `reading_size`."""
        return pictures.resize(image, *pictures.reading_size(*image.shape[:2], self.config.reading_size))

    def segment(self, reading: np.ndarray) -> np.ndarray:
        """SAM's masks of a picture, drawn as a segmentation map, uint8 (h, w, 3)."""
        if self.segmenter is None:
            raise ValueError("this pipeline has no segmenter: pass segments=")
        return render(automatic_masks(self.segmenter, reading), self.config.segments)

    def conditions(
        self, images: list[np.ndarray], prompts: list[str], segments: list[np.ndarray], how: Sampling | None = None
    ) -> Conditions:
        """What the UNet is given for pictures that share a working size; everything is resized to that here."""
        size, tiling = self.working_size(images[0], how), self.tiling(images[0], how)
        visible = pictures.to_model([pictures.resize(image, *size) for image in images])
        drawn = pictures.to_model([pictures.resize(picture, *size) for picture in segments])
        return Conditions(
            text=encode_text(self.tokenizer, self.text_encoder, prompts),
            visible=encode_condition(self.vae, visible.to(self.device), tiling),
            segments=encode_condition(self.vae, drawn.to(self.device), tiling),
        )

    def working_size(self, image: np.ndarray, how: Sampling | None = None) -> tuple[int, int]:
        """(height, width) at which a picture is translated: about image_size² pixels, or how.size², in its own aspect.

        In tiles, its own size, to the nearest multiple.
        """
        how = how or Sampling()
        own = math.sqrt(image.shape[0] * image.shape[1])
        side = how.size or (self.config.image_size if how.tile is None else own)
        return pictures.working_size(*image.shape[:2], side, self.multiple)

    def tiling(self, image: np.ndarray, how: Sampling | None) -> Tiling | None:
        """The tiles in which a picture is translated, if so. `UserError` for tiles that the networks cannot take."""
        if how is None or how.tile is None:
            return None
        if how.tile % self.multiple or how.shared % self.factor:
            raise UserError(
                f"tiles of {how.tile} that share {how.shared} pixels do not fit this model: a tile must be a multiple "
                f"of {self.multiple}, an overlap of {self.factor}"
            )
        return Tiling(*(side // self.factor for side in (*self.working_size(image, how), how.tile, how.shared)))

    def save_pretrained(
        self, folder: str | Path, half: bool = False, shared: dict[str, str] | None = None, **_unused
    ) -> None:
        """Write model_index.json and a folder for each component: safetensors, fp16 if `half`; whole or not at all.

        `shared` names components that are not copied but stay where they are: {"vae": "../autoencoder", …}, paths from
        this folder to its siblings. Without it the folder is self-contained.
        """
        save_components(self, Path(folder), half=half, shared=shared or {})

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str = "cpu", **replaced) -> "DiffV2IRPipeline":
        """A pipeline out of such a folder, checked, float32; `replaced` components are taken as given, not loaded.

        Only known classes are built, so no code runs from the folder. Every fault is one `UserError` naming the file.
        """
        components, settings = load_components(Path(folder), given=replaced)
        pipeline = cls(**components, **settings)
        pipeline.to(device)
        return pipeline

    def words(
        self, reading: list[np.ndarray], prompts: list[str | None], captions: list[str | None]
    ) -> tuple[list[str], list[str | None]]:
        """Prompts, cut to what can be read, and captions: by BLIP where a prompt has room for one and none is given."""
        templates = [self.config.template if prompt is None else prompt for prompt in prompts]
        wanted = ["{caption}" in template for template in templates]
        captions = [caption if wants else None for caption, wants in zip(captions, wanted, strict=True)]
        missing = [i for i, wants in enumerate(wanted) if wants and captions[i] is None]
        if missing and self.captioner is None:
            raise ValueError("this pipeline has no captioner: pass caption= or prompt=")
        for i in missing:  # one at a time: words must not depend on a picture's neighbours
            [captions[i]] = describe(
                self.captioner,
                self.captioner_processor,
                [reading[i]],
                max_tokens=self.config.caption_tokens,
                beams=self.config.caption_beams,
            )
        made = [make_prompt(caption or "", template) for caption, template in zip(captions, templates, strict=True)]
        return [fit_prompt(prompt, self.tokenizer) for prompt in made], captions

    def _chunks(self, images, batch_size, how):
        """Numbers of pictures that run together: equal working size, at most `batch_size`."""
        groups: dict = {}
        for i, image in enumerate(images):
            groups.setdefault(self.working_size(image, how), []).append(i)
        for group in groups.values():
            for start in range(0, len(group), batch_size):
                yield group[start : start + batch_size]


def pipeline_settings(profile: Profile) -> dict:
    """What a pipeline folder says about sizes, words and sampling, of a profile."""
    guidance = profile.guidance
    return dict(
        image_size=profile.image_size,
        reading_size=profile.reading_size,
        template=profile.prompt,
        caption_tokens=profile.caption_tokens,
        caption_beams=profile.caption_beams,
        s_text=guidance.s_text,
        s_visible=guidance.s_visible,
        s_segments=guidance.s_segments,
        steps=guidance.steps,
    )


def _one_each(value, count: int) -> list:
    return [value] * count if value is None or isinstance(value, str) else list(value)
