"""What a translation is, and several of one picture: their mean, and where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from v2ir_lib.diffusion.images import to_rgb

if TYPE_CHECKING:
    from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline


@dataclass(frozen=True)
class Translation:
    """What `DiffV2IRPipeline` returns, one entry for each picture."""

    images: list[Image.Image]  # mode "L", of the input's size
    captions: list[str | None]  # None where the prompt was given
    prompts: list[str]  # as the text encoder read them
    segments: list[np.ndarray]  # uint8 (h, w, 3), as SAM's masks were drawn
    seeds: list[int]
    evaluations: list[int]  # of the UNet: branches and tiles count
    trajectories: list[list[Image.Image]] | None  # the picture expected at each evaluation, at working size


@dataclass(frozen=True)
class Spread:
    """Several translations of one picture, from different noise, float32 (H, W) in grey levels."""

    mean: np.ndarray
    deviation: np.ndarray  # standard deviation at each place, of a sample (n − 1): where the model is unsure
    translations: Translation


def translate_seeds(
    pipeline: "DiffV2IRPipeline",
    image: np.ndarray | Image.Image,
    seeds: Sequence[int],
    *,
    prompt: str | None = None,
    **options,
) -> Spread:
    """Translate one picture once for each seed, two or more; `options` are the pipeline's.

    Words and segment map are made once, so that the noise is all that differs. What is not settled by picture, words
    and segments differs between the translations; what the model is wrong about every time does not.
    """
    if len(seeds) < 2:
        raise ValueError(f"a spread needs at least two seeds, not {len(seeds)}")
    count = len(seeds)
    image = to_rgb(image) if isinstance(image, Image.Image) else image
    reading = pipeline.read(image)
    [words], [caption] = pipeline.words([reading], [prompt], [None])
    maps = [pipeline.segment(reading)] * count
    done = pipeline([image] * count, prompt=words, segments=maps, seed=list(seeds), **options)
    pictures = np.stack([np.asarray(picture, dtype=np.float32) for picture in done.images])
    translations = Translation(**vars(done) | {"captions": [caption] * count})
    return Spread(pictures.mean(axis=0), pictures.std(axis=0, ddof=1), translations)
