"""Boxes of persons and cars, read off the masks of the simulated world: what a detector learns and is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from v2ir_lib.world import CLASS_INDEX

KINDS = ("person", "car")  # label 1, 2; 0 is the background, as torchvision counts
LEAST_SIDE = 4.0  # pixels of the 96-pixel picture: below it, half of IoU hangs on a fraction of a pixel
RULE = (
    "a box is what shows of one person or car in the instance mask. Learnt: all that the world numbers (30 pixels of "
    f"192² or more). Asked for: at least {LEAST_SIDE:g} of 96 pixels a side. A detection on a smaller one, or of a "
    "person on a bicycle (the masks make them one), is neither right nor wrong; nor is one as small on nothing"
)


@dataclass(frozen=True)
class Boxes:
    """One scene's boxes. `learnt` marks what training sees, `asked` what a test counts; the rest is passed over."""

    corners: np.ndarray  # float32 (n, 4): x0, y0, x1, y1 in pixels of the picture, x1 and y1 outside
    labels: np.ndarray  # int64 (n,), from 1 in the order of KINDS
    learnt: np.ndarray  # bool (n,)
    asked: np.ndarray  # bool (n,)

    def to_learn(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners and labels for training."""
        return self.corners[self.learnt], self.labels[self.learnt]


def boxes_of(instances: np.ndarray, classes: np.ndarray, kinds: Sequence[str], size: int) -> Boxes:
    """Boxes of one scene in a picture of `size` pixels a side, which shows the same view as the masks.

    instances, classes: uint8 (H, H), `kinds[k - 1]` is what instance k is. See `RULE`. `ValueError` where the masks
    number more than `kinds` names.
    """
    if instances.max(initial=0) > len(kinds):
        raise ValueError(f"the mask numbers {instances.max()} objects, but {len(kinds)} are named")
    numbered = ndimage.find_objects(instances, max_label=len(kinds))
    found = []
    for kind, place in zip(kinds, numbered, strict=True):
        if place is not None and kind in (*KINDS, "bicycle"):
            found.append((place, KINDS[0] if kind == "bicycle" else kind, kind in KINDS))
    for kind in KINDS:  # too small for a number
        blobs, _ = ndimage.label((classes == CLASS_INDEX[kind]) & (instances == 0), np.ones((3, 3)))
        found += [(place, kind, False) for place in ndimage.find_objects(blobs)]
    scale = size / instances.shape[0]
    corners = [[columns.start, rows.start, columns.stop, rows.stop] for (rows, columns), *_ in found]
    corners = np.array(corners, np.float32).reshape(-1, 4) * np.float32(scale)
    learnt = np.array([known for *_, known in found], bool)
    return Boxes(
        corners=corners,
        labels=np.array([1 + KINDS.index(kind) for _, kind, _ in found], np.int64),
        learnt=learnt,
        asked=learnt & ~too_small(corners),
    )


def too_small(corners: np.ndarray) -> np.ndarray:
    """Whether a side is below `LEAST_SIDE`: corners (n, 4) → bool (n,)."""
    return (corners[:, 2:] - corners[:, :2]).min(axis=1, initial=np.inf) < LEAST_SIDE


def boxes_of_pack(pack, size: int) -> list[Boxes]:
    """`boxes_of` for every scene of a `world.packs.Pack`."""
    named = ([one["kind"] for one in spec["instances"]] for spec in pack.specs)
    masks = zip(pack.instances, pack.classes, named, strict=True)
    return [boxes_of(np.asarray(numbers), np.asarray(classes), kinds, size) for numbers, classes, kinds in masks]
