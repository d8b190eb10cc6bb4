"""All that is measured on one row: both pictures, and how they fit. Worker processes do it: the values are plain."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagehash
import numpy as np
from PIL import Image

from v2ir_lib.data.audit.alignment import Offset, find_offset
from v2ir_lib.data.audit.checks import Picture, Unusable, decode, examine, read_file
from v2ir_lib.data.audit.polarity import detail_skewness
from v2ir_lib.records import Record

ASPECT_TOLERANCE = 0.02  # of the ratio of width to height: beyond, one picture shows more than the other


@dataclass(frozen=True)
class Measured:
    """One picture of a row. Without `error_code` it could be read; a row that has no visible picture has none."""

    error_code: str = ""
    error: str = ""
    sha256: str = ""
    width: int = -1
    height: int = -1
    mean: float = float("nan")
    spread: float = float("nan")  # grey levels between the 1st and 99th percentile
    colour: float = float("nan")
    borders: tuple[int, int, int, int] = (0, 0, 0, 0)
    border_grey: int = -1
    phash: int = 0  # 64 bits
    fingerprint: bytes = b""  # uint8 (24, 32)

    @property
    def readable(self) -> bool:
        """Whether there is a picture."""
        return self.width > 0


@dataclass(frozen=True)
class Row:
    """What is known of a record's files."""

    visible: Measured | None  # None: infrared alone
    infrared: Measured
    offset: Offset | None = None  # None: not measured
    skewness: float = 0.0  # of the infrared picture's detail


def measure_record(record: Record, folder: str) -> Row:
    """Measure a record's pictures; `folder` is the manifest's. Bad files are results, not errors."""
    visible, seen = _measure(record, record.visible, folder) if record.visible else (None, None)
    infrared, heat = _measure(record, record.infrared, folder)
    offset = None
    if seen is not None and heat is not None and same_shape(visible, infrared):
        offset = find_offset(*_inside(seen, heat))
    return Row(visible, infrared, offset, detail_skewness(heat.grey) if heat is not None else 0.0)


def same_shape(visible: Measured, infrared: Measured) -> bool:
    """Whether width to height is the same, up to `ASPECT_TOLERANCE`."""
    ratio = (visible.width * infrared.height) / (visible.height * infrared.width)
    return abs(ratio - 1) <= ASPECT_TOLERANCE


def _measure(record: Record, name: str, folder: str) -> tuple[Measured, Picture | None]:
    try:
        content = read_file(str(Path(folder, name)))
    except Unusable as error:
        return Measured(error.code, str(error)), None
    digest = hashlib.sha256(content).hexdigest()
    known = (record.grey_low, record.grey_high) if name == record.infrared else (-1.0, -1.0)
    try:
        picture = examine(*decode(content, record.crop, *known))
    except Unusable as error:
        return Measured(error.code, str(error), digest), None
    small = Image.fromarray(cv2.resize(picture.grey, (64, 64), interpolation=cv2.INTER_AREA))
    bits = imagehash.phash(small).hash.ravel()
    measured = Measured(
        sha256=digest,
        width=picture.width,
        height=picture.height,
        mean=picture.mean,
        spread=picture.spread,
        colour=picture.colour,
        borders=picture.borders,
        border_grey=picture.border_grey,
        phash=int.from_bytes(np.packbits(bits).tobytes(), "big"),
        fingerprint=picture.fingerprint.tobytes(),
    )
    return measured, picture


def _inside(visible: Picture, infrared: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Both without their frames, and without the part that the other's frame hides: edges of frames are no edges."""
    parts = [
        max(ours / (visible.width, visible.height)[i % 2], theirs / (infrared.width, infrared.height)[i % 2])
        for i, (ours, theirs) in enumerate(zip(visible.borders, infrared.borders, strict=True))
    ]
    if not any(parts):
        return visible.grey, infrared.grey
    return _without(visible.grey, parts), _without(infrared.grey, parts)


def _without(grey: np.ndarray, parts: list[float]) -> np.ndarray:
    height, width = grey.shape
    left, top, right, bottom = (round(part * (width, height)[i % 2]) for i, part in enumerate(parts))
    return grey[top : height - bottom, left : width - right]
