"""How many pixels off: correlation of gradient orientations over a search window.

A visible edge can be dark to bright and the same edge bright to dark in infrared, so orientations are compared at the
doubled angle, where the two are one direction. Edges of the sky, of roofs, poles, cars and people are in both.
"""

from typing import NamedTuple

import cv2
import numpy as np
from scipy import fft

WORKING_SIDE = 192  # pixels of the longer side while searching: 310 real pairs take 4 s on one core
WINDOW = 16  # pixels of that, to each side: 8% of the picture
MARGIN = 3  # pixels at the frame's edge that the filters cannot know
NEIGHBOURHOOD = 4  # what is so near belongs to the same peak
SMALLEST_SIDE = 48  # with less there is nothing to search in


class Offset(NamedTuple):
    """Where the infrared picture lies on the visible one: x to the right, y down, in visible pixels.

    `correlation` is the peak's, in [−1, 1]; `clarity` is the peak over the next best place: near 1, it says nothing.
    """

    x: float
    y: float
    correlation: float
    clarity: float


def find_offset(visible: np.ndarray, infrared: np.ndarray) -> Offset | None:
    """Offset of two grey pictures of one view, uint8 (H, W); infrared is first stretched to the visible size.

    None where one is too small, or has no edges.
    """
    scale = WORKING_SIDE / max(visible.shape)
    size = (round(visible.shape[1] * scale), round(visible.shape[0] * scale))
    if min(size) < SMALLEST_SIDE or min(*visible.shape, *infrared.shape) < SMALLEST_SIDE:
        return None
    first, second = (_orientations(_resized(picture, size)) for picture in (visible, infrared))
    if not (np.any(first) and np.any(second)):
        return None
    scores = _correlations(first, second)
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    peak = float(scores[row, column])
    others = scores.copy()
    others[max(row - NEIGHBOURHOOD, 0) : row + NEIGHBOURHOOD + 1, max(column - NEIGHBOURHOOD, 0) :][
        :, : min(column, NEIGHBOURHOOD) + NEIGHBOURHOOD + 1
    ] = -1
    x = column - WINDOW + _between(scores[row, max(column - 1, 0) : column + 2])
    y = row - WINDOW + _between(scores[max(row - 1, 0) : row + 2, column])
    return Offset(-x / scale, -y / scale, peak, peak / max(float(others.max()), 1e-3))


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    shrinking = size[0] < picture.shape[1]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)


def _orientations(picture: np.ndarray) -> np.ndarray:
    """Gradients as complex64 (H, W): magnitude up to 1, doubled angle, nought at the margin."""
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 1.2)
    x, y = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    magnitude = np.hypot(x, y)
    strong = np.percentile(magnitude[MARGIN:-MARGIN, MARGIN:-MARGIN], 90)
    if strong < 1.0:
        return np.zeros(picture.shape, np.complex64)
    # the square of (x + iy) has the doubled angle; magnitudes are cut so that one lamp does not decide alone
    doubled = (x + 1j * y) ** 2 / np.maximum(magnitude, 1e-6) / np.maximum(magnitude, strong)
    doubled[:MARGIN], doubled[-MARGIN:], doubled[:, :MARGIN], doubled[:, -MARGIN:] = 0, 0, 0, 0
    return doubled.astype(np.complex64)


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Normalised correlation (2·WINDOW + 1)², at [WINDOW + dy, WINDOW + dx]: first(p + d) with second(p)."""
    shape = [fft.next_fast_len(side + WINDOW) for side in first.shape]
    frame = np.zeros(first.shape, np.float32)
    frame[MARGIN:-MARGIN, MARGIN:-MARGIN] = 1

    def transform(values):
        return fft.fft2(values, shape)

    def product(a, b):
        whole = fft.ifft2(a * np.conj(b)).real
        return np.roll(whole, (WINDOW, WINDOW), (0, 1))[: 2 * WINDOW + 1, : 2 * WINDOW + 1]

    framed = transform(frame)
    energy_first = product(transform(np.abs(first) ** 2), framed)
    energy_second = product(framed, transform(np.abs(second) ** 2))
    overlap = np.sqrt(np.maximum(energy_first, 0) * np.maximum(energy_second, 0))
    return product(transform(first), transform(second)) / np.maximum(overlap, 1e-3)


def _between(three: np.ndarray) -> float:
    """Where a parabola through a peak and its neighbours is highest, in [−0.5, 0.5]; 0 at the window's edge."""
    if len(three) < 3:
        return 0.0
    left, middle, right = (float(value) for value in three)
    curvature = left - 2 * middle + right
    return float(np.clip((left - right) / (2 * curvature), -0.5, 0.5)) if curvature < -1e-9 else 0.0
