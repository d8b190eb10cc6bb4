"""What one picture shows on its own: can it be read, is there anything in it, a frame around it, colour.

Where the thresholds come from: the extremes of 310 real pairs (RoadScene, MSRS, LLVIP) and 100 simulated scenes of five
cameras, all of them good. Each constant names the extreme it keeps clear of.
"""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageOps

from v2ir_lib.data.reading import cropped, grey_range, histogram, one_channel, to_8_bit
from v2ir_lib.errors import UserError

CONSTANT = 3  # grey levels between the 1st and 99th percentile; a simulated street in dense fog has 7
FAINT = 8  # so few are worth a note
BLACK, WHITE = 6, 249  # a frame is black or white; dark rows at the foot of MSRS's infrared have 7 to 15
FRAME_NOISE = 4  # grey levels by which JPEG spoils a constant frame
FRAME_STEP = 8  # grey levels between a frame and the picture: a sky that is clipped ends without such a straight step
FRAME_LINES = 3  # two dark lines at the top are a clipped sky in one simulated picture
AVIID_COLOUR = 10  # AVIID's infrared channels differ by up to 10 grey levels and mean nothing by it
FINGERPRINT = (32, 24)  # width, height of the second feature


@dataclass(frozen=True)
class Picture:
    """One decoded file. Borders are (left, top, right, bottom) in pixels; `fingerprint` is uint8 (24, 32)."""

    grey: np.ndarray
    width: int
    height: int
    mean: float
    spread: float  # grey levels between the 1st and 99th percentile
    colour: float  # 99th percentile of the difference between channels
    borders: tuple[int, int, int, int]
    border_grey: int  # of the widest, −1 without
    fingerprint: np.ndarray


class Unusable(Exception):
    """A file that is no picture: `code` for machines, the message for people."""

    def __init__(self, code: str, words: str):
        super().__init__(words)
        self.code = code


def read_file(path: str) -> bytes:
    """A file's bytes; `Unusable` says missing or unreadable."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise Unusable("missing", "the file is not there") from None
    except OSError as error:
        raise Unusable("unreadable", (error.strerror or "the file cannot be read").lower()) from None
    if not content:
        raise Unusable("unreadable", "the file is empty")
    return content


def decode(content: bytes, crop: str = "", grey_low: float = -1, grey_high: float = -1) -> tuple[np.ndarray, float]:
    """Grey uint8 (H, W) as the record crops it, and how far its channels differ. `Unusable`: no picture, cut short."""
    try:
        image = Image.open(io.BytesIO(content))
    except Exception:  # decoders raise a dozen types over damaged headers
        raise Unusable("unreadable", "the file is not a picture") from None
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
    except Exception as error:
        cut = "truncated" in str(error).lower() or isinstance(error, EOFError)
        raise Unusable("truncated" if cut else "unreadable", "the file is cut short" if cut else "damaged") from None
    if image.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "PA"):
        image = image.convert("RGB")
    try:
        image = cropped(image, crop, "it")
    except UserError as error:
        raise Unusable("unreadable", str(error)) from None
    values = np.asarray(image)
    colour = channel_difference(values) if values.ndim == 3 and values.shape[-1] >= 3 else 0.0
    if values.dtype in (np.uint8, bool):
        grey = cv2.cvtColor(values[..., :3], cv2.COLOR_RGB2GRAY) if colour else one_channel(values, image.mode)
        return np.ascontiguousarray(grey), colour
    values = np.nan_to_num(one_channel(values, image.mode), posinf=0, neginf=0)
    low, high = (grey_low, grey_high) if grey_high >= 0 else grey_range(histogram(values))
    return to_8_bit(values, low, high), colour


def channel_difference(values: np.ndarray) -> float:
    """The 99th percentile over pixels of the largest minus the smallest channel; uint8 (H, W, ≥3)."""
    first, second, third = values[..., 0], values[..., 1], values[..., 2]
    spread = cv2.subtract(cv2.max(cv2.max(first, second), third), cv2.min(cv2.min(first, second), third))
    return percentiles(spread, 99)[0]


def percentiles(values: np.ndarray, *percents: float) -> list[float]:
    """Of uint8 values, by their histogram: many times faster than by sorting."""
    below = np.cumsum(np.bincount(values.ravel(), minlength=256))
    return [float(np.searchsorted(below, percent / 100 * below[-1])) for percent in percents]


def examine(grey: np.ndarray, colour: float) -> Picture:
    """Everything that is measured on one picture, uint8 (H, W)."""
    low, high = percentiles(grey, 1, 99)
    borders, border_grey = find_borders(grey) if high - low > CONSTANT else ((0, 0, 0, 0), -1)
    return Picture(
        grey=grey,
        width=grey.shape[1],
        height=grey.shape[0],
        mean=float(grey.mean()),
        spread=high - low,
        colour=colour,
        borders=borders,
        border_grey=border_grey,
        fingerprint=cv2.resize(grey, FINGERPRINT, interpolation=cv2.INTER_AREA),
    )


def find_borders(grey: np.ndarray) -> tuple[tuple[int, int, int, int], int]:
    """Black or white lines along the edges: (left, top, right, bottom) in pixels, and the grey of the widest.

    A border is constant up to JPEG's noise and ends in a straight step; a black sky or a white wall does not.
    """
    found, tone = [], -1
    for lines in (grey.T, grey, grey.T[::-1], grey[::-1]):  # left, top, right, bottom
        width = _border(lines)
        if width > max(found, default=0):
            tone = int(np.median(lines[0]))
        found.append(width)
    return tuple(found), tone


def _border(lines: np.ndarray) -> int:
    edge = int(np.median(lines[0]))
    if BLACK < edge < WHITE:
        return 0
    limit = len(lines) // 2
    width = next((i for i, line in enumerate(lines[:limit]) if not _constant(line, edge)), limit)
    if not FRAME_LINES <= width < limit:
        return 0
    inside = lines[min(width + 1, len(lines) - 1)].astype(np.int16)  # the next one may be the step, blurred
    return width if np.mean(np.abs(inside - edge) >= FRAME_STEP) >= 0.6 else 0


def _constant(line: np.ndarray, grey: int) -> bool:
    """Nearly all of it; where two borders cross, a line along one has the other's ends."""
    return bool(np.mean(np.abs(line.astype(np.int16) - grey) <= FRAME_NOISE) >= 0.97)
