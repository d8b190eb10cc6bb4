"""What costs nothing: a translation that does not beat these has learnt nothing.

"Inverted grey" answers the standing suspicion that infrared is just the negative of a grey picture; the mean image
answers a metric that rewards blur; the nearest pair answers a model that only remembers.
"""

import numpy as np
from PIL import Image

from v2ir_lib.diffusion.images import resize

LOW_RESOLUTION = 16  # pixels a side at which pictures are compared: layout and light, no detail
RED, GREEN, BLUE = 0.299, 0.587, 0.114  # luma, ITU-R BT.601


def grey(visible: np.ndarray, size: int | None = None) -> np.ndarray:
    """Luma of pictures uint8 (N, H, W, 3), first resized to `size` square if given; uint8 (N, size, size)."""
    pictures = [np.asarray(picture) if size is None else resize(np.asarray(picture), size, size) for picture in visible]
    return np.rint(np.stack(pictures) @ np.array([RED, GREEN, BLUE])).astype(np.uint8)


def inverted_grey(visible: np.ndarray, size: int | None = None) -> np.ndarray:
    """The negative of `grey`."""
    return 255 - grey(visible, size)


def mean_training_image(infrared: np.ndarray, count: int) -> np.ndarray:
    """The mean of the training pictures, uint8 (M, h, w), as the answer to `count` questions, (count, h, w)."""
    mean = np.rint(np.asarray(infrared, dtype=np.float64).mean(axis=0)).astype(np.uint8)
    return np.repeat(mean[None], count, axis=0)


def nearest_pair(visible: np.ndarray, training_visible: np.ndarray, training_infrared: np.ndarray) -> np.ndarray:
    """The infrared picture of the training pair whose visible picture is nearest, uint8 (N, h, w).

    Nearest in mean squared difference of colour at 16 × 16 pixels; the first of equals.
    """
    ours, theirs = _thumbnails(visible), _thumbnails(training_visible)
    distances = (ours**2).sum(1)[:, None] - 2 * ours @ theirs.T + (theirs**2).sum(1)[None]
    return np.asarray(training_infrared)[distances.argmin(axis=1)]


def _thumbnails(visible: np.ndarray) -> np.ndarray:
    """float64 (N, 16 · 16 · 3)"""
    side = (LOW_RESOLUTION, LOW_RESOLUTION)
    small = [np.asarray(Image.fromarray(np.asarray(p)).resize(side, Image.Resampling.BOX)) for p in visible]
    return np.stack(small).reshape(len(small), -1).astype(np.float64)
