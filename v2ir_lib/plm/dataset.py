"""What a phase learns from, as plain arrays in memory: latent moments and prompts, no picture left.

A picture is encoded once for each of its crops, before training; a step then only looks numbers up. The infrared
picture keeps both moments of its posterior, because the target is sampled anew at every step; the conditions keep the
mean, which is the mode of a Gaussian. Half precision: the rounding is a thousandth of the posterior's own spread.
"""

from dataclasses import dataclass

import numpy as np
import torch

from v2ir_lib.diffusion.images import resize


@dataclass(frozen=True)
class PhaseData:
    """Latents of N scenes, K crops of each, and L infrared looks of each crop.

    Visible and segments are None where a phase has no such condition.
    """

    infrared: np.ndarray  # float16 (N, K, L, 8, h, w): mean and log-variance
    visible: np.ndarray | None  # float16 (N, K, 4, h, w)
    segments: np.ndarray | None  # float16 (N, K, 4, h, w)
    text: torch.Tensor  # float32 (N, L, D), or (1, L, D) where one prompt serves all

    @property
    def scenes(self) -> int:
        return self.infrared.shape[0]

    @property
    def crops(self) -> int:
        return self.infrared.shape[1]

    @property
    def looks(self) -> int:
        return self.infrared.shape[2]

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(4, h, w)"""
        return (self.infrared.shape[3] // 2, *self.infrared.shape[4:])

    def infrared_moments(self, scenes, crops, looks) -> torch.Tensor:
        """Mean and log-variance, float32 (B, 8, h, w)."""
        return _float(self.infrared[scenes, crops, looks])

    def visible_latents(self, scenes, crops) -> torch.Tensor | None:
        """Posterior modes of the visible pictures, float32 (B, 4, h, w)."""
        return None if self.visible is None else _float(self.visible[scenes, crops])

    def segment_latents(self, scenes, crops) -> torch.Tensor | None:
        """Posterior modes of the segment maps, float32 (B, 4, h, w)."""
        return None if self.segments is None else _float(self.segments[scenes, crops])

    def text_states(self, scenes) -> torch.Tensor:
        """Hidden states of the prompts, (B, L, D)."""
        return self.text[scenes] if len(self.text) > 1 else self.text.expand(len(scenes), -1, -1)


@dataclass(frozen=True)
class Crop:
    """A square window of the picture after resizing, and whether it is mirrored afterwards."""

    resized: int  # pixels, side after resizing
    top: int
    left: int
    size: int  # pixels, side of the window
    flip: bool

    def of(self, picture: np.ndarray) -> np.ndarray:
        """The window of a picture, uint8 (H, W, 3) or (H, W) → (size, size, …); resized as the pipeline does."""
        rows, columns = slice(self.top, self.top + self.size), slice(self.left, self.left + self.size)
        window = resize(picture, self.resized, self.resized)[rows, columns]
        return window[:, ::-1] if self.flip else window


def crops_of(scene: int, count: int, resized: int, size: int) -> list[Crop]:
    """The cached crops of a scene: the whole picture, as inference sees it, then random ones, every second mirrored.

    The paper resizes to 286 and crops 256; here e.g. 104 and 96. They depend on the scene's index alone, so visible,
    infrared and segments of a pair are cropped alike.
    """
    rng = np.random.default_rng([scene, resized, size])
    crops = [Crop(size, 0, 0, size, False)]
    for number in range(1, count):
        top, left = (int(x) for x in rng.integers(0, resized - size + 1, 2))
        crops.append(Crop(resized, top, left, size, flip=number % 2 == 1))
    return crops


def looks_of(scene: int, crop: int, cameras: tuple[str, ...], count: int) -> list[str]:
    """The cameras whose pictures of a scene's crop are cached: `count` different ones, drawn anew for each crop."""
    rng = np.random.default_rng([scene, crop, len(cameras)])
    return [cameras[i] for i in rng.permutation(len(cameras))[:count]]


def _float(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).float()
