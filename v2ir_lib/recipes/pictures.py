"""Pictures as the stand-ins' trainers read them, and contact sheets of what came of it."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from v2ir_lib.diffusion.images import resize
from v2ir_lib.files import atomic_path
from v2ir_lib.recipes.stage import Run, key
from v2ir_lib.vlum.segments import regions
from v2ir_lib.world import CLASS_INDEX, CLASSES, THINGS
from v2ir_lib.world.cameras import CAMERAS, expose


def to_model(images: torch.Tensor | np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W, 3) to float (B, 3, H, W) in [-1, 1], contiguous."""
    return (torch.as_tensor(images).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous()


def to_pixels(images: torch.Tensor) -> np.ndarray:
    """Float (B, 3, H, W) in [-1, 1] to uint8 (B, H, W, 3)."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def shrink(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 (N, H, W, 3) to (N, size, size, 3), bicubic and antialiased as the pipeline does it."""
    return np.stack([resize(np.array(image), size, size) for image in tqdm(images, "shrinking", delay=2, leave=False)])


def infrared_pictures(radiance: np.ndarray, cameras: list[str], seed: int) -> np.ndarray:
    """One picture a scene, by the camera named beside it: float32 (N, 4, 96, 96) to uint8 (N, 96, 96, 3), grey."""
    out = np.empty((len(cameras), *radiance.shape[2:], 3), np.uint8)
    for i, name in enumerate(tqdm(cameras, desc="infrared pictures", delay=2, leave=False)):
        out[i] = expose(radiance[i], CAMERAS[name], key(seed, "expose", i) % 2**31)[..., None]
    return out


def true_masks(instances: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The masks that a perfect segmenter would find: each object, and each kind of stuff; bool (N, H, W)."""
    stuff = [CLASS_INDEX[name] for name in CLASSES if name not in THINGS]
    masks = [instances == number for number in np.unique(instances) if number]
    masks += [(classes == kind) & (instances == 0) for kind in stuff if kind in classes]
    return np.stack([mask for mask in masks if mask.any()])


def segment_pictures(pack, index: list[int], size: int) -> np.ndarray:
    """True segmentation maps, drawn as the pipeline draws SAM's: uint8 (N, size, size, 3).

    Every second one is drawn at full size and then subsampled, the others are drawn at `size`: lines of either kind.
    """
    maps = []
    for number, i in enumerate(tqdm(index, desc="segment maps", delay=2, leave=False)):
        step = pack.instances.shape[1] // size
        instances, classes = np.array(pack.instances[i]), np.array(pack.classes[i])
        every = slice(step // 2, None, step)
        if number % 2:
            maps.append(regions(true_masks(instances[every, every], classes[every, every])))
        else:
            maps.append(regions(true_masks(instances, classes))[every, every])
    return np.stack(maps)


def sheet(path: Path, rows: list[np.ndarray], gap: int = 2) -> None:
    """Save rows of uint8 (N, H, W, 3) pictures as one picture file, white between them."""
    height, width = rows[0].shape[1:3]
    columns = max(len(row) for row in rows)
    canvas = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            canvas[r * (height + gap) : r * (height + gap) + height, c * (width + gap) : c * (width + gap) + width] = (
                picture
            )
    with atomic_path(path) as temporary:
        Image.fromarray(canvas).save(temporary, quality=90)


def random_cameras(run: Run, purpose: str, bands: list[str | None]) -> list[str]:
    """For each entry a camera drawn from all of that band (None: from all)."""
    rng = np.random.default_rng(key(run.seed, purpose, "cameras"))
    names = list(CAMERAS)
    return [str(rng.choice([n for n in names if band in (None, CAMERAS[n].band)])) for band in bands]
