"""A pack of scenes as an experiment reads it, and the translations that it judges."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from v2ir_lib.diffusion.images import resize
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.plm.annotate import Annotations
from v2ir_lib.plm.cache import cached, weights_fingerprint
from v2ir_lib.plm.prepare import Encoders, infrared_pictures

BATCH = 32


@dataclass
class Scenes:
    """Visible pictures of a pack, what BLIP and SAM say of them, and the true infrared pictures in one camera."""

    pack: object
    camera: str
    encoders: Encoders

    def __len__(self) -> int:
        return len(self.pack)

    @property
    def size(self) -> int:
        return self.encoders.profile.image_size

    @cached_property
    def visible(self) -> np.ndarray:
        """At the size of the translation, uint8 (N, 96, 96, 3): resized as the pipeline would."""
        return np.stack([resize(np.asarray(picture), self.size, self.size) for picture in self.pack.visible])

    @cached_property
    def infrared(self) -> np.ndarray:
        """The truth, uint8 (N, 96, 96)."""
        return infrared_pictures(self.pack, range(len(self.pack)), self.camera)

    @cached_property
    def notes(self) -> Annotations:
        """Captions and segment maps, from the same cache as in training."""
        return self.encoders.annotate(self.pack.visible, self.pack.name)

    def groups(self) -> dict[str, np.ndarray]:
        """Numbers of the scenes of each kind: "all", each time of day, "fog". Fog overlaps with the times of day."""
        attributes = [spec["attributes"] for spec in self.pack.specs]
        masks = {"all": np.ones(len(self), dtype=bool)}
        for time in ("day", "dusk", "night"):
            masks[time] = np.array([one["time"] == time for one in attributes])
        masks["fog"] = np.array([one["weather"] == "fog" for one in attributes])
        return {name: np.flatnonzero(mask) for name, mask in masks.items() if mask.any()}


def translate(
    pipeline: DiffV2IRPipeline, scenes: Scenes, guidance: dict, seed: int, count: int | None = None
) -> np.ndarray:
    """Translations of the first `count` scenes (all), uint8 (N, 96, 96), 32 at a time; each batch is cached.

    By the pipeline itself, from the captions and segment maps that it would make. Picture i starts from seed + i
    whatever the guidance, so that two settings differ in nothing else. guidance: s_text, s_visible, s_segments, steps.
    """
    count = len(scenes) if count is None else min(count, len(scenes))
    weights = [weights_fingerprint(part) for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)]
    said = (scenes.notes.captions, scenes.notes.segments)

    def made_from(chunk: slice) -> tuple:
        words, maps = (part[chunk] for part in said)
        template = pipeline.config.template
        return weights, template, sorted(guidance.items()), seed, chunk.start, scenes.visible[chunk], words, maps

    def compute(chunk: slice) -> dict[str, np.ndarray]:
        done = pipeline(
            list(scenes.visible[chunk]),
            caption=said[0][chunk],
            segments=list(said[1][chunk]),
            seed=seed + chunk.start,
            batch_size=BATCH,
            **guidance,
        )
        return {"infrared": np.stack([np.asarray(picture) for picture in done.images])}

    return cached(f"translations-{scenes.pack.name}", count, made_from, compute, size=BATCH)["infrared"]


@torch.no_grad()
def autoencoded(pipeline: DiffV2IRPipeline, infrared: np.ndarray) -> np.ndarray:
    """decode(encode(picture)), uint8 (N, h, w): what a perfect translation would reach."""
    out = []
    for start in range(0, len(infrared), BATCH):
        grey = torch.from_numpy(infrared[start : start + BATCH]).float()[:, None] / 127.5 - 1
        latents = pipeline.vae.encode(grey.expand(-1, 3, -1, -1)).latent_dist.mode()
        answer = pipeline.vae.decode(latents).sample.clamp(-1, 1).mean(dim=1)
        out.append(((answer + 1) * 127.5).round().byte().numpy())
    return np.concatenate(out)
