"""Pictures of a stream as arrays, JPEGs no larger than training wants them.

A JPEG decoder can leave out high frequencies and so give a picture at 1/2, 1/4 or 1/8 of its size, for less than the
whole one costs. Each of its pixels is then about the mean of so many: what a resize for training would make anyway.
Other formats are decoded whole. For a stream:

    stream.batches(16, workers=2, decode=partial(decode_row, at_least=TINY.train_resize))
"""

import io
import json
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from v2ir_lib.data.reading import _displayed_size, _opened, _reason, cropped
from v2ir_lib.errors import UserError

REDUCTIONS = (8, 4, 2)  # a JPEG's block of 8×8 becomes 1×1, 2×2 or 4×4
ORIENTATION = 0x0112  # EXIF: how a viewer turns the picture
KINDS = ("visible", "infrared")

Box = tuple[int, int, int, int]


def decode_picture(content: bytes, at_least: int, name: str = "the picture") -> np.ndarray:
    """(H, W) or (H, W, C) of the file's own depth and channels; 16-bit grey stays uint16, palettes become colours.

    A JPEG comes at the smallest of its scales whose shorter side still has `at_least` pixels, sides rounded up; one
    that is smaller, or that EXIF turns, comes whole. `UserError` with `name`: damaged, too large, no picture.
    """
    image = _opened(name, io.BytesIO(content))
    whole = _box(image, "", name)
    return _pixels(image, reduction(image, whole, at_least), whole, name)


def decode_row(row: dict[str, Any], at_least: int) -> dict[str, Any]:
    """A row of `ShardReader` with its pictures as `decode_picture` gives them, cut out as its record's `crop` says.

    Both at one scale, the larger of the two that they could have, so that a pixel here is the same pixel there. Where
    they differ in size, they keep their ratio; where one cannot be reduced (a PNG, a 16-bit TIFF), both come whole.
    A crop is cut exactly: a scale that does not divide its edges is passed over. Other parts stay bytes.
    """
    crop = json.loads(row["record"]).get("crop", "")
    names = {kind: f"the {kind} picture of {row['id']}" for kind in KINDS if kind in row}
    images = {kind: _opened(name, io.BytesIO(row[kind])) for kind, name in names.items()}
    boxes = {kind: _box(image, crop, names[kind]) for kind, image in images.items()}
    scale = min(reduction(image, boxes[kind], at_least) for kind, image in images.items())
    return row | {kind: _pixels(image, scale, boxes[kind], names[kind]) for kind, image in images.items()}


def reduction(image: Image.Image, box: Box, at_least: int) -> int:
    """8, 4, 2 or 1: by how much a picture that is not yet decoded may be reduced, if `box` is what is wanted of it."""
    if at_least < 1:
        raise UserError(f"pictures of at least {at_least} pixels: give the shorter side that training wants, 1 or more")
    turned = "exif" in image.info and image.getexif().get(ORIENTATION, 1) != 1
    if image.format != "JPEG" or turned:
        return 1
    left, top, right, bottom = box
    inner = [left, top, *(edge for edge, end in ((right, image.width), (bottom, image.height)) if edge != end)]
    shorter, least = min(right - left, bottom - top), min(image.size)
    for by in REDUCTIONS:
        if by <= least and -(-shorter // by) >= at_least and not any(edge % by for edge in inner):
            return by
    return 1


def _box(image: Image.Image, crop: str, name: str) -> Box:
    """What the crop keeps, in pixels as displayed; the whole picture where there is none."""
    size = _displayed_size(image)
    if not crop:
        return (0, 0, *size)
    cropped(Image.new("1", size), crop, name)  # refuses what is no box inside the picture, and decodes nothing
    left, top, right, bottom = (int(part) for part in crop.split(","))
    return left, top, right, bottom


def _pixels(image: Image.Image, scale: int, box: Box, name: str) -> np.ndarray:
    try:
        if scale > 1:
            image.draft(None, (image.width // scale, image.height // scale))
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode == "P":
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    except Exception as error:  # decoders raise a dozen types over damaged data
        raise UserError(f"cannot read {name}: {_reason(name, error)}") from None
    left, top, right, bottom = (-(-edge // scale) for edge in box)
    return np.array(image.crop((left, top, right, bottom)))
