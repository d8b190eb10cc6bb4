"""From scenes to `PhaseData`: captions, segment maps and latent moments, each computed once and cached.

The released code reads captions and maps and encodes pictures anew for every sample of every step. None of it depends
on the step, so here all of it is done before the first one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from v2ir_lib.diffusion.components import encode_text, load_autoencoder, load_text_encoder, load_tokenizer
from v2ir_lib.diffusion.latents import condition_from_moments, moments
from v2ir_lib.errors import UserError
from v2ir_lib.plm.annotate import Annotations, annotate
from v2ir_lib.plm.cache import cached, weights_fingerprint
from v2ir_lib.plm.dataset import Crop, PhaseData, crops_of, looks_of
from v2ir_lib.plm.phases import Phase
from v2ir_lib.plm.sources import Scenes, as_scenes, content
from v2ir_lib.profiles import Profile
from v2ir_lib.vlum.prompts import make_prompt


def stand_ins(models: Path) -> dict[str, Path]:
    """The folders of the frozen models in `models`; `UserError` where one is missing."""
    folders = {part: models / part for part in ("autoencoder", "text_encoder", "tokenizer", "captioner", "segmenter")}
    for folder in folders.values():
        if not folder.is_dir():
            raise UserError(f"{folder} is missing: train the stand-ins first (python -m v2ir_lib.recipes)")
    return folders


@dataclass
class Encoders:
    """The frozen models in front of the UNet: pictures and prompts go in, latents and hidden states come out."""

    profile: Profile
    models: dict[str, Path]  # where each part lies, see `stand_ins`
    device: str = "cpu"
    workers: int = 1  # processes that annotate

    @cached_property
    def autoencoder(self):
        """In the memory format that its convolutions are quickest in."""
        return load_autoencoder(self.models["autoencoder"], self.device).to(memory_format=torch.channels_last)

    @cached_property
    def autoencoder_fingerprint(self) -> str:
        return weights_fingerprint(self.autoencoder)

    @property
    def scaling_factor(self) -> float:
        """What brings the latents of targets to about unit variance; measured when the autoencoder was trained."""
        return self.autoencoder.config.scaling_factor

    def text(self, prompts: list[str]) -> torch.Tensor:
        """Hidden states of prompts, float32 (B, L, D); the encoding of "" is the null text."""
        tokenizer = load_tokenizer(self.models["tokenizer"])
        encoder = load_text_encoder(self.models["text_encoder"], self.device)
        parts = [prompts[start : start + 32] for start in range(0, len(prompts), 32)]
        return torch.cat([encode_text(tokenizer, encoder, part).cpu() for part in tqdm(parts, desc="prompts", delay=2)])

    def annotate(self, visible: Sequence[np.ndarray], name: str) -> Annotations:
        """Captions and segment maps of visible pictures, N of uint8 (H, W, 3)."""
        return annotate(visible, self.profile, self.models, name=name, workers=self.workers, device=self.device)

    @property
    def key(self) -> tuple:
        """What, beside the pictures, decides their moments; part of every cached file's name."""
        return self.autoencoder_fingerprint, self.profile.train_resize, self.profile.image_size

    def crops(self, scene: int, count: int) -> list[Crop]:
        """The windows of a scene at this profile's sizes."""
        return crops_of(scene, count, self.profile.train_resize, self.profile.image_size)

    def crop_moments(self, pictures: Sequence[np.ndarray], scenes: slice, count: int) -> np.ndarray:
        """Moments of each scene's crops: B of uint8 (H, W[, 3]) → float16 (B, K, 8, h, w)."""
        numbers = range(scenes.start, scenes.stop)
        crops = [
            crop.of(np.asarray(picture))
            for scene, picture in zip(numbers, pictures, strict=True)
            for crop in self.crops(scene, count)
        ]
        found = self.moments(np.stack(crops))
        return found.reshape(len(pictures), count, *found.shape[1:])

    def moments(self, pictures: np.ndarray) -> np.ndarray:
        """uint8 (B, H, W, 3) or grey (B, H, W) → posterior moments, float16 (B, 8, h, w)."""
        if pictures.ndim == 3:
            pictures = np.repeat(pictures[..., None], 3, axis=-1)
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        parts = [moments(self.autoencoder, part.to(self.device)).cpu() for part in images.split(16)]
        return torch.cat(parts).clamp(-60000, 60000).numpy().astype(np.float16)


def infrared_pictures(pack, scenes: slice | list[int], camera: str) -> np.ndarray:
    """What a camera makes of scenes, uint8 (B, H, W)."""
    source = as_scenes(pack)
    scenes = range(len(source))[scenes] if isinstance(scenes, slice) else scenes
    return np.stack([source.infrared(i, camera) for i in scenes])


def infrared_moments(source: Scenes, phase: Phase, encoders: Encoders) -> np.ndarray:
    """Moments of every scene's crops in the looks that are kept of each, float16 (N, K, L, 8, h, w)."""
    scenes = as_scenes(source)

    def made_from(chunk: slice) -> tuple:
        looks = phase.cameras, phase.crops, phase.looks
        return encoders.key, looks, *scenes.infrared_content(chunk)

    def compute(chunk: slice) -> dict[str, np.ndarray]:
        pictures = []
        for scene in range(chunk.start, chunk.stop):
            seen = cache(lambda camera, scene=scene: scenes.infrared(scene, camera))
            for number, crop in enumerate(encoders.crops(scene, phase.crops)):
                pictures += [crop.of(seen(c)) for c in looks_of(scene, number, phase.cameras, phase.looks)]
        found = encoders.moments(np.stack(pictures))
        return {"moments": found.reshape(chunk.stop - chunk.start, phase.crops, phase.looks, *found.shape[1:])}

    return cached(f"moments-{phase.name}-{scenes.name}", len(scenes), made_from, compute)["moments"]


def condition_latents(pictures, name: str, phase: Phase, encoders: Encoders) -> np.ndarray:
    """Posterior modes of visible pictures or segment maps, N of uint8 (H, W, 3) → float16 (N, K, 4, h, w)."""

    def made_from(chunk: slice) -> tuple:
        return encoders.key, phase.crops, chunk.start, content(pictures, chunk)

    def compute(chunk: slice) -> dict[str, np.ndarray]:
        found = torch.from_numpy(encoders.crop_moments(pictures[chunk], chunk, phase.crops)).float()
        modes = condition_from_moments(found.flatten(0, 1)).unflatten(0, found.shape[:2])
        return {"modes": modes.numpy().astype(np.float16)}

    return cached(f"modes-{name}", len(pictures), made_from, compute)["modes"]


def load_data(source: Scenes, phase: Phase, encoders: Encoders) -> PhaseData:
    """All that a phase learns from, out of the cache where it is there. `source`: a pack, or `sources.Scenes`."""
    scenes = as_scenes(source)
    visible = segments = None
    prompts = [phase.prompt]
    if phase.conditions:
        notes = encoders.annotate(scenes.visible, scenes.name)
        prompts = [make_prompt(caption, phase.prompt) for caption in notes.captions]
        visible = condition_latents(scenes.visible, f"{scenes.name}-visible", phase, encoders)
        segments = condition_latents(notes.segments, f"{scenes.name}-segments", phase, encoders)
    return PhaseData(infrared_moments(scenes, phase, encoders), visible, segments, encoders.text(prompts))
