"""A record's pictures as arrays, and what an import reads from a file: size, depth, grey range, hash.

Infrared cameras deliver 14 or 16 bits. They become 8 by two percentiles, of the picture or of its whole sequence
(paper, §4); the two raw values are in the record, so the mapping can be told and repeated.
"""

import hashlib
import io
import os
import stat
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from v2ir_lib.errors import UserError
from v2ir_lib.records import Record

PERCENTILES = (0.5, 99.5)  # of the raw values: they become 0 and 255
MAX_PIXELS = 200_000_000
MAX_BYTES = 1 << 30
LEVELS = 1 << 16


class Measured(NamedTuple):
    """What is in one file. `error` is "" or why it cannot be used."""

    width: int = -1
    height: int = -1
    bits: int = 8
    low: float = -1.0
    high: float = -1.0
    sha256: str = ""
    error: str = ""


def read_visible(record: Record, folder: str | Path = ".") -> np.ndarray:
    """The visible picture, uint8 (H, W, 3), cropped as the record says; `folder` is the manifest's.

    `UserError`, naming the file: missing, damaged, too large, no picture, or the record has none.
    """
    if not record.visible:
        raise UserError(f"{record.id} has no visible picture: it is infrared alone")
    with _decoded(Path(folder, record.visible)) as image:
        return np.array(cropped(image, record.crop, record.visible).convert("RGB"))


def read_infrared(record: Record, folder: str | Path = ".") -> np.ndarray:
    """The infrared picture, uint8 (H, W), one channel, cropped as the record says; `folder` is the manifest's.

    Deep pictures are mapped by the record's `grey_low` and `grey_high`, or by their own percentiles where it has none.
    Three channels of grey become their mean. `UserError` as `read_visible`.
    """
    with _decoded(Path(folder, record.infrared)) as image:
        values = np.asarray(cropped(image, record.crop, record.infrared))
    values = one_channel(values, image.mode)
    if values.dtype == np.uint8:
        return values
    known = record.grey_high >= 0
    low, high = (record.grey_low, record.grey_high) if known else grey_range(histogram(values))
    return to_8_bit(values, low, high)


def read_pair(record: Record, folder: str | Path = ".") -> tuple[np.ndarray, np.ndarray]:
    """`read_visible` and `read_infrared`; the two may differ in size where the cameras do."""
    return read_visible(record, folder), read_infrared(record, folder)


def measure(path: str, *, hashed: bool = True, deep: bool = False) -> tuple[Measured, np.ndarray | None]:
    """Read a file once: size as displayed, bits, SHA-256; with `deep`, of more than 8 bits also the histogram (65536,).

    Never raises over a bad file: `error` says what is wrong (a broken link, no permission, changed under the reader).
    """
    try:
        before = os.stat(path)
        if not stat.S_ISREG(before.st_mode):  # opening a pipe would wait for ever
            raise UserError("not an ordinary file")
        if not 0 < before.st_size <= MAX_BYTES:
            raise UserError(f"larger than {MAX_BYTES} bytes" if before.st_size else "an empty file")
        with open(path, "rb") as file:
            content = file.read() if hashed else b""
        with _opened(path, io.BytesIO(content) if hashed else path) as image:
            size, bits, counts = _displayed_size(image), _bits(image), None
            if deep and bits > 8:
                image.load()
                counts = histogram(one_channel(np.asarray(image), image.mode))
                low, high = grey_range(counts)
                top = int(np.flatnonzero(counts)[-1])
                bits = 14 if top < 1 << 14 else 16
            else:
                low = high = -1.0
        after = os.stat(path)
    except Exception as error:  # whatever a decoder raises: one bad file must not end the import of the others
        return Measured(error=_reason(path, error)), None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or (
        hashed and len(content) != after.st_size
    ):
        return Measured(error="it changed while it was read"), None
    return Measured(*size, bits, low, high, hashlib.sha256(content).hexdigest() if hashed else ""), counts


def histogram(values: np.ndarray) -> np.ndarray:
    """How often each of the 65,536 raw values occurs, int64 (65536,); values beyond are counted at the ends."""
    return np.bincount(np.clip(values, 0, LEVELS - 1).astype(np.uint16).ravel(), minlength=LEVELS)


def grey_range(counts: np.ndarray) -> tuple[float, float]:
    """The raw values at the two percentiles, from a histogram: the smallest that so many pixels do not exceed."""
    below = np.cumsum(counts)
    low, high = (int(np.searchsorted(below, percent / 100 * below[-1])) for percent in PERCENTILES)
    return float(low), float(high)


def to_8_bit(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Raw values to uint8, linear from low → 0 to high → 255, clipped; a picture of one value becomes 0."""
    scale = 255.0 / max(high - low, 1.0)
    return np.clip(np.rint((values.astype(np.float32) - low) * scale), 0, 255).astype(np.uint8)


def one_channel(values: np.ndarray, mode: str) -> np.ndarray:
    """(H, W) or (H, W, C) to (H, W): the mean of the colours, in the same depth; transparency is left out."""
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    if values.ndim == 2:
        return values
    colours = values[..., : 1 if mode in ("LA", "La") else 3]
    return np.rint(colours.mean(axis=-1)).astype(values.dtype)


def cropped(image: Image.Image, crop: str, name: str) -> Image.Image:
    """The part that a record's `crop` names; `UserError` where it is no box or lies outside the picture."""
    if not crop:
        return image
    try:
        left, top, right, bottom = (int(part) for part in crop.split(","))
    except ValueError:
        raise UserError(f"{name}: crop is {crop!r}, it must be left,top,right,bottom in pixels") from None
    if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
        raise UserError(f"{name}: crop {crop} lies outside its {image.width}×{image.height} pixels")
    return image.crop((left, top, right, bottom))


def _opened(path: str | Path, file=None) -> Image.Image:
    """A picture whose header has been read. `UserError` naming the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # size is checked below, at a limit of our own
            image = Image.open(file if file is not None else path)
    except Exception as error:  # decoders raise a dozen types over damaged data
        raise UserError(f"cannot read {path}: {_reason(path, error)}") from None
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise UserError(f"cannot read {path}: {image.width}×{image.height} pixels are more than {MAX_PIXELS}")
    if image.mode == "F":  # radiance, kelvin or 0 to 1: only its maker knows
        image.close()
        raise UserError(f"cannot read {path}: its pixels are floating-point numbers, store them as 16-bit ones")
    return image


def _decoded(path: Path) -> Image.Image:
    image = _opened(path)
    try:
        image.load()
        turned = ImageOps.exif_transpose(image)
        return turned.convert("RGBA" if "transparency" in image.info else "RGB") if turned.mode == "P" else turned
    except Exception as error:
        image.close()
        raise UserError(f"cannot read {path}: {_reason(path, error)}") from None


def _displayed_size(image: Image.Image) -> tuple[int, int]:
    turned = "exif" in image.info and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (image.height, image.width) if turned else image.size


def _bits(image: Image.Image) -> int:
    return 16 if image.mode == "I" or image.mode.startswith("I;16") else 8


def _reason(path: str | Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "a broken link" if os.path.islink(path) else "it is gone"
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not a picture"
    if isinstance(error, OSError) and "truncated" in str(error).lower():
        return "the file is cut short"
    return " ".join(str(error).split()).replace(f"cannot read {path}: ", "") or type(error).__name__
