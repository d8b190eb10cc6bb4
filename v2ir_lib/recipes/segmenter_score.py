"""How well the tiny segmenter's automatic masks find a scene's objects, and the thresholds under which they do best."""

import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator
from torchvision.ops import nms
from tqdm.auto import tqdm

from v2ir_lib.files import atomic_path
from v2ir_lib.vlum.segmenter import SamWrapper, automatic_masks
from v2ir_lib.vlum.segments import label_map, masks_of_labels

LEAST_OBJECT, LEAST_STUFF = 30, 300  # pixels: smaller regions are not asked for
SIZES = (30, 100, 400, 1600)  # lower ends of the size classes, pixels


def load_segmenter(folder: Path) -> SamWrapper:
    """The shipped fp16 weights as an fp32 model for inference."""
    return SamWrapper.from_pretrained(folder, torch_dtype=torch.float32, use_safetensors=True).eval()


def true_objects(instances: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Masks (K, H, W) bool of one scene's objects over 30 pixels, and the class of each."""
    masks = [instances == number for number in np.unique(instances[instances > 0])]
    masks = [mask for mask in masks if mask.sum() > LEAST_OBJECT]
    return np.array(masks, bool).reshape(-1, *instances.shape), [int(np.bincount(classes[m]).argmax()) for m in masks]


def true_stuff(instances: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Masks (K, H, W) bool of one scene's stuff classes over 300 pixels, each whole."""
    masks = [(classes == name) & (instances == 0) for name in np.unique(classes[instances == 0])]
    return np.array([mask for mask in masks if mask.sum() > LEAST_STUFF], bool).reshape(-1, *instances.shape)


def best_iou(masks: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(K,) the largest intersection over union that any of masks (N, H, W) has with each of true (K, H, W)."""
    return _iou(masks, true).max(axis=0, initial=0.0)


def _iou(masks: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(N, K), in float32 arithmetic, exact for the integers met here."""
    a, b = (m.reshape(len(m), int(np.prod(m.shape[1:]))).astype(np.float32) for m in (masks, true))
    both = a @ b.T
    return both / np.maximum(a.sum(1)[:, None] + b.sum(1)[None] - both, 1)


def grid_cells(height: int, width: int, side: int) -> np.ndarray:
    """The trivial segmenter: side² rectangles that tile the picture, (side², H, W) bool."""
    row, column = np.arange(height) * side // height, np.arange(width) * side // width
    cell = row[:, None] * side + column[None]
    return cell[None] == np.arange(side * side)[:, None, None]


def measure(
    folder: Path, pack, limit: int | None = None, generate: Callable[[np.ndarray], np.ndarray] | None = None
) -> dict:
    """Mean best IoU of the automatic masks over all true objects over 30 pixels of the first `limit` scenes.

    generate: a picture (H, W, 3) uint8 to masks (N, H, W) bool, in place of the model in `folder`. `grid` is the best
    tiling of the picture into equal rectangles; `stuff` the same mean for whole stuff classes (road, sky, ...). `drawn`
    is `drawn_iou` over regions and over pixels, objects and stuff together, of the map that the UNet is given.
    """
    from v2ir_lib.world import CLASSES

    if generate is None:
        segmenter = load_segmenter(folder)

        def generate(image):
            return automatic_masks(segmenter, image)

    count = min(limit or len(pack.visible), len(pack.visible))
    height, width = pack.instances.shape[1:]
    grids = {side: grid_cells(height, width, side) for side in (4, 6, 8, 12, 16)}
    ious, kinds, areas, stuff, numbers, tiled = [], [], [], [], [], {side: [] for side in grids}
    drawn, tiles = np.zeros(4), {side: np.zeros(4) for side in grids}
    seconds = 0.0
    for i in tqdm(range(count), desc="segmenter: masks", unit="img"):
        true, its_kinds = true_objects(pack.instances[i], pack.classes[i])
        started = time.perf_counter()
        masks = generate(np.asarray(pack.visible[i]))
        seconds += time.perf_counter() - started
        ious += best_iou(masks, true).tolist()
        kinds += its_kinds
        areas += true.sum((1, 2)).tolist()
        wide = true_stuff(pack.instances[i], pack.classes[i])
        stuff += best_iou(masks, wide).tolist()
        drawn += drawn_iou(masks, np.concatenate([true, wide]))
        numbers.append(len(masks))
        for side, cells in grids.items():
            tiled[side] += best_iou(cells, true).tolist()
            tiles[side] += drawn_iou(cells, np.concatenate([true, wide]))
    ious, kinds, areas = np.array(ious), np.array(kinds), np.array(areas)
    size = np.digitize(areas, SIZES) - 1
    return {
        "scenes": count,
        "objects": len(ious),
        "mean_best_iou": _mean(ious),
        "found": _mean(ious > 0.5),  # share of objects with a mask of IoU over one half
        "by_class": {CLASSES[kind]: _mean(ious[kinds == kind]) for kind in np.unique(kinds)},
        "by_pixels": {f"over {least}": _mean(ious[size == s]) for s, least in enumerate(SIZES) if (size == s).any()},
        "stuff": _mean(stuff),
        "drawn": _shares(drawn),
        "drawn_grid": {name: max(_shares(some)[name] for some in tiles.values()) for name in ("regions", "pixels")},
        "masks_per_image": _mean(numbers),
        "seconds_per_image": seconds / max(count, 1),
        "grid": max(_mean(values) for values in tiled.values()),
    }


def _shares(sums: np.ndarray) -> dict[str, float]:
    return {"regions": float(sums[0] / max(sums[1], 1)), "pixels": float(sums[2] / max(sums[3], 1))}


def _mean(values) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def candidates(segmenter: SamWrapper, image: np.ndarray, points_per_side: int) -> dict[str, np.ndarray]:
    """All masks of a picture before any filter: masks (N, H, W), said IoU, stability (N,), boxes (N, 4) as corners."""
    generator = SamAutomaticMaskGenerator(
        segmenter.sam,
        points_per_side=points_per_side,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
    )
    found = generator.generate(image)
    boxes = np.array([record["bbox"] for record in found], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return dict(
        masks=np.array([record["segmentation"] for record in found], bool).reshape(-1, *image.shape[:2]),
        said=np.array([record["predicted_iou"] for record in found], np.float32),
        stability=np.array([record["stability_score"] for record in found], np.float32),
        boxes=boxes,
    )


def choose_thresholds(segmenter: SamWrapper, pack, limit: int = 24, sides: tuple[int, ...] = (8,)) -> dict:
    """The generator's settings whose drawn map, which is all that the UNet is given, shows the true regions best.

    Loose thresholds find more objects, but their maps are rubble: many overlapping pieces, the small ones painted over
    the large. So the score is `drawn_iou` of objects and stuff, half over regions and half over pixels. A denser grid
    of points costs time in proportion, so it must be worth 0.02.
    """
    segmenter.eval()
    grid = list(product((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), (0.0, 0.7, 0.8, 0.9), (0.3, 0.5, 0.7)))
    best, setting = -1.0, {}
    scenes = range(min(limit, len(pack.visible)))
    for side in sides:
        rows = []  # one a scene: (settings, 4) of IoU and regions, then of IoU and pixels
        for i in tqdm(scenes, desc=f"segmenter: thresholds at {side} points a side", unit="img"):
            found = candidates(segmenter, np.asarray(pack.visible[i]), side)
            true, _ = true_objects(pack.instances[i], pack.classes[i])
            true = np.concatenate([true, true_stuff(pack.instances[i], pack.classes[i])])
            rows.append(_drawn_under(grid, found, true))
        totals = np.sum(rows, axis=0)
        means = (totals[:, 0] / np.maximum(totals[:, 1], 1) + totals[:, 2] / np.maximum(totals[:, 3], 1)) / 2
        chosen = int(means.argmax())
        if means[chosen] > best + (0.02 if setting else 0.0):
            best = means[chosen]
            said, stability, box_nms = (round(float(value), 3) for value in grid[chosen])
            setting = dict(pred_iou_thresh=said, stability_score_thresh=stability, box_nms_thresh=box_nms)
            setting["points_per_side"] = side
    return setting


def drawn_iou(masks: np.ndarray, true: np.ndarray) -> tuple[float, int, float, int]:
    """How much of true regions (K, H, W) the map drawn from masks (N, H, W) shows, each pixel in one region only.

    Sum over the true regions of the best IoU that any drawn region has with them, their number K; and the same sum with
    each region weighed by its pixels, and those pixels.
    """
    iou, pixels = best_iou(masks_of_labels(label_map(masks)), true), true.sum(axis=(1, 2))
    return float(iou.sum()), len(true), float((iou * pixels).sum()), int(pixels.sum())


def _drawn_under(grid: list[tuple], found: dict, true: np.ndarray) -> list[tuple[float, int, float, int]]:
    """`drawn_iou` under each of the thresholds; many keep the same masks, whose map is drawn once."""
    kept = [_kept(found, *thresholds) for thresholds in grid]
    different = {index.tobytes(): index for index in kept}
    drawn = {name: drawn_iou(found["masks"][index], true) for name, index in different.items()}
    return [drawn[index.tobytes()] for index in kept]


def _kept(found: dict, said: float, stability: float, box_nms: float) -> np.ndarray:
    """Indices of the candidates that SamAutomaticMaskGenerator keeps under these thresholds."""
    index = np.flatnonzero((found["said"] > said) & (found["stability"] >= stability))
    keep = nms(torch.from_numpy(found["boxes"][index]), torch.from_numpy(found["said"][index]), box_nms)
    return index[keep.numpy()]


def draw_masks(folder: Path, pack, path: Path, count: int = 6) -> None:
    """A picture of `count` scenes: the visible image, its true regions, the automatic masks."""
    import matplotlib.pyplot as plt

    segmenter = load_segmenter(folder)
    count = min(count, len(pack.visible))
    figure, axes = plt.subplots(3, count, figsize=(2.6 * count, 8), squeeze=False)
    for axis, label in zip(axes[:, 0], ("visible", "true regions", "automatic masks"), strict=True):
        axis.set_ylabel(label)
    for i in range(count):
        image = np.asarray(pack.visible[i])
        true = np.concatenate(
            [true_stuff(pack.instances[i], pack.classes[i]), true_objects(pack.instances[i], pack.classes[i])[0]]
        )
        masks = automatic_masks(segmenter, image)
        for axis, picture in zip(axes[:, i], (image, _painted(true), _painted(masks)), strict=True):
            axis.imshow(picture)
            axis.set_xticks([])
            axis.set_yticks([])
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=90, bbox_inches="tight", pil_kwargs={"quality": 90})
    plt.close(figure)


def _painted(masks: np.ndarray) -> np.ndarray:
    """Masks (N, H, W), each in a colour of its own, large ones first: uint8 (H, W, 3)."""
    picture = np.zeros((*masks.shape[1:], 3), np.uint8)
    colours = np.random.default_rng(7).integers(60, 256, (len(masks), 3))
    for colour, index in zip(colours, np.argsort([-mask.sum() for mask in masks]), strict=True):
        picture[masks[index]] = colour
    return picture
