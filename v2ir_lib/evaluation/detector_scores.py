"""Average precision at IoU 0.5, and how sure it is.

Average precision is not a mean over scenes, so its interval is not one of a mean: scenes are drawn again, all that was
detected in them with them, and the precision-recall curve is made anew. Every method is judged on the same draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import box_iou

from v2ir_lib.evaluation.detector_boxes import KINDS, Boxes, too_small

LEAST_IOU = 0.5
COVERED = 0.5  # of a detection's area, by what is passed over
RIGHT, WRONG, PASSED = 1, 0, -1


@dataclass(frozen=True)
class Detections:
    """What a detector said of some scenes, in any order."""

    scenes: np.ndarray  # int64 (D,)
    labels: np.ndarray  # int64 (D,), from 1 in the order of KINDS
    scores: np.ndarray  # float32 (D,)
    corners: np.ndarray  # float32 (D, 4): x0, y0, x1, y1, pixels

    def only(self, chosen: np.ndarray) -> "Detections":
        """Those that an index or mask (D,) chooses."""
        return Detections(self.scenes[chosen], self.labels[chosen], self.scores[chosen], self.corners[chosen])

    @staticmethod
    def joined(parts: Sequence["Detections"]) -> "Detections":
        """All detections of several."""
        names = ("scenes", "labels", "scores", "corners")
        return Detections(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def judge(corners: np.ndarray, scores: np.ndarray, asked: np.ndarray, passed: np.ndarray) -> np.ndarray:
    """RIGHT, WRONG or PASSED for detections of one kind in one scene; corners (d, 4), asked (a, 4), passed (p, 4).

    Best score first, each takes the free box that it overlaps most, at `LEAST_IOU` or more. One that takes none is
    passed over where `passed` boxes cover it, or where it is itself too small to be asked for.
    Source: the COCO evaluation, whose "ignored" boxes and area ranges these are.
    """
    verdicts = np.full(len(corners), WRONG)
    overlap = box_iou(*(torch.from_numpy(np.asarray(some, np.float32)) for some in (corners, asked))).numpy()
    free = np.ones(len(asked), bool)
    for number in np.argsort(-scores, kind="stable"):
        row = np.where(free, overlap[number], 0.0)
        if len(row) and row.max() >= LEAST_IOU:
            free[row.argmax()] = False
            verdicts[number] = RIGHT
    missed = verdicts == WRONG
    verdicts[missed & (too_small(corners) | (_covered(corners, passed) >= COVERED))] = PASSED
    return verdicts


def _covered(corners: np.ndarray, by: np.ndarray) -> np.ndarray:
    """The largest share of each box (d, 4) that one of the boxes (p, 4) covers: (d,)."""
    low = np.maximum(corners[:, None, :2], by[None, :, :2])
    high = np.minimum(corners[:, None, 2:], by[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2).max(axis=1, initial=0)
    return shared / np.maximum((corners[:, 2:] - corners[:, :2]).prod(axis=1), 1e-9)


def average_precision(hits: np.ndarray, counts: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve, precision made monotone: (R,), NaN where nothing was asked for.

    hits: bool (D,), best score first. counts: (R, D), how often each detection counts in each of R draws. asked: (R,).
    Source: PASCAL VOC 2010 and later, all points.
    """
    right = np.cumsum(counts * hits, axis=1, dtype=np.float64)
    every = np.cumsum(counts, axis=1, dtype=np.float64)
    precision = np.divide(right, every, out=np.zeros_like(right), where=every > 0)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    area = (precision * counts * hits).sum(axis=1)
    return np.divide(area, asked, out=np.full(len(counts), np.nan), where=asked > 0)


@dataclass(frozen=True)
class Judged:
    """One kind of object, detections best score first, those passed over left out."""

    scenes: np.ndarray  # int64 (D,)
    hits: np.ndarray  # bool (D,)
    asked: np.ndarray  # int64 (N,), boxes asked for in each scene

    def precision(self, weights: np.ndarray) -> np.ndarray:
        """Average precision where scene n counts weights[r, n] times, (R, N) → (R,)."""
        known = weights.any(axis=0)[self.scenes]
        return average_precision(self.hits[known], weights[:, self.scenes[known]], weights @ self.asked)

    def recall(self, scenes: np.ndarray) -> float:
        """The share of the boxes of these scenes that any detection found, whatever its score."""
        return float(self.hits[np.isin(self.scenes, scenes)].sum() / max(1, self.asked[scenes].sum()))


def judge_all(detections: Detections, truth: Sequence[Boxes]) -> dict[str, Judged]:
    """Detections in scenes 0 … N − 1 against their boxes, for each kind of object."""
    judged = {}
    for label, kind in enumerate(KINDS, 1):
        mine = detections.only(detections.labels == label)
        mine = mine.only(np.argsort(-mine.scores, kind="stable"))
        verdicts = np.full(len(mine.scores), WRONG)
        for scene, boxes in enumerate(truth):
            here, same = np.flatnonzero(mine.scenes == scene), boxes.labels == label
            asked, passed = boxes.corners[same & boxes.asked], boxes.corners[same & ~boxes.asked]
            verdicts[here] = judge(mine.corners[here], mine.scores[here], asked, passed)
        kept = verdicts != PASSED
        counts = np.array([np.count_nonzero(boxes.asked & (boxes.labels == label)) for boxes in truth])
        judged[kind] = Judged(mine.scenes[kept], verdicts[kept] == RIGHT, counts)
    return judged


def drawn(scenes: int, members: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """How often each scene counts, (1 + draws, scenes): first all `members` once, then as many drawn of them again."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((1 + draws, scenes), np.int64)
    weights[0, members] = 1
    weights[1:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
    return weights
