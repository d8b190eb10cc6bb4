"""Any picture file to RGB, to a size that the model takes, and back to the picture's own size."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from v2ir_lib.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
MIN_SIDE, MAX_PIXELS, MAX_ASPECT = 16, 80_000_000, 8.0


def read_image(path: str | Path) -> np.ndarray:
    """A picture file as uint8 (H, W, 3) sRGB, upright as its EXIF says, over white where it is transparent.

    Grey and palette pictures become RGB. More than 8 bits, or floats, are stretched between their 0.5 and 99.5
    percentiles. `UserError`, naming the file: damaged, not a picture, NaN, under 16 pixels, beyond 8:1, too large.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"cannot read {path}: no such file")
    try:
        with Image.open(path) as image:
            check_size(image.size, path)
            deep = any("16" in str(tile[3]) for tile in image.tile)  # Pillow keeps 8 bits of 16-bit colour
            image.load()
            image = ImageOps.exif_transpose(image)
            image.info = {key: image.info[key] for key in ("transparency",) if key in image.info}
    except UserError:
        raise
    except Exception as error:  # decoders raise a dozen types over damaged data
        if isinstance(error, Image.UnidentifiedImageError) and path.suffix.lower() in (".tif", ".tiff"):
            return _read_deep(path)  # Pillow knows no float colour
        reason = "not a picture" if isinstance(error, Image.UnidentifiedImageError) else _one_line(error)
        raise UserError(f"cannot read {path}: {reason}") from None
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        return stretch(np.asarray(image), path)
    return _read_deep(path) if deep else to_rgb(image)


def to_rgb(image: Image.Image) -> np.ndarray:
    """A PIL picture of any mode as uint8 (H, W, 3), over white where it is transparent."""
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        return stretch(np.asarray(image), "the picture")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def stretch(values: np.ndarray, name: str | Path) -> np.ndarray:
    """Deep values (H, W) or (H, W, 3) to uint8 (H, W, 3), linear between the 0.5 and 99.5 percentiles.

    `UserError` on NaN or infinity: what such a pixel stands for is the sender's to say.
    """
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise UserError(f"cannot read {name}: it contains NaN or infinite pixels")
    low, high = np.percentile(values, (0.5, 99.5))
    if high <= low:  # nearly constant: nothing to stretch by but its extremes
        low, high = values.min(), max(values.max(), values.min() + 1)
    grey = np.rint(255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8)
    return grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)


def check_size(size: tuple[int, int], name: str | Path) -> None:
    """`UserError` for a (width, height) that cannot be translated sensibly."""
    width, height = size
    if min(size) < MIN_SIDE:
        raise UserError(f"cannot translate {name}: {width}×{height} pixels, each side needs at least {MIN_SIDE}")
    if max(size) > MAX_ASPECT * min(size):
        raise UserError(f"cannot translate {name}: {width}×{height} pixels is longer than {MAX_ASPECT:.0f}:1; crop it")
    if width * height > MAX_PIXELS:
        raise UserError(f"cannot translate {name}: {width}×{height} is over {MAX_PIXELS // 10**6} megapixels")


def working_size(height: int, width: int, side: int, multiple: int) -> tuple[int, int]:
    """The (height, width) at which a picture is translated: about side² pixels, its aspect, multiples of `multiple`."""
    scale = side / math.sqrt(height * width)
    return tuple(max(1, round(length * scale / multiple)) * multiple for length in (height, width))


def reading_size(height: int, width: int, side: int) -> tuple[int, int]:
    """The (height, width) at which BLIP and SAM read a picture: its longer side becomes `side`."""
    scale = side / max(height, width)
    return tuple(max(1, round(length * scale)) for length in (height, width))


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bicubic with anti-aliasing: uint8 (H, W, 3), or float32 (H, W), to the new size."""
    if image.shape[:2] == (height, width):
        return image
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def to_model(images: list[np.ndarray]) -> torch.Tensor:
    """uint8 (H, W, 3), all of one size → float32 (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_grey(infrared: torch.Tensor, height: int, width: int) -> Image.Image:
    """One infrared picture (h, w) in [-1, 1] → PIL "L" of the given size; rounded once, after the resizing."""
    grey = resize(((infrared.float().cpu().numpy() + 1) * 127.5).astype(np.float32), height, width)
    return Image.fromarray(np.rint(np.clip(grey, 0, 255)).astype(np.uint8))


def _read_deep(path: Path) -> np.ndarray:
    """16-bit or float colour, by OpenCV."""
    import cv2

    cv2.utils.logging.setLogLevel(0)  # damage is reported by us, once
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise UserError(f"cannot read {path}: not a picture, or damaged")
    check_size(values.shape[1::-1], path)
    if values.ndim == 3:
        values = values[..., 2::-1] if values.shape[2] >= 3 else values[..., 0]  # BGR(A) to RGB
    return stretch(values, path)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
