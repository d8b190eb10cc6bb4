"""Is hot white, as in the rest of its sequence? Frames of one camera and one place vote on each other.

Three things turn round with the polarity, and their sum is the score: the infrared pictures' correlation with other
frames, weighted by how alike the visible ones are; the sign of visible against infrared; and the skewness of fine
detail (people and engines are small and hot). On the real sequences (267 frames in groups of three or more) the
lowest score of a good frame is −0.07, and 97% of them score above +0.15, so turned round they fall below −0.15;
correlation alone would have to stop at 86%.
"""

import cv2
import numpy as np

INVERTED = -0.15
OTHERS = 2  # frames that a vote needs
REFLECTED = ("nir", "swir")  # bands that look like the visible picture; emitted ones do not, and do not vote on them
NEIGHBOURS = 24  # frames before and after: a sequence of ten thousand costs no more than ten thousand of ten
SKEWNESS_SIZE = (160, 120)


def normalised(fingerprints: np.ndarray) -> np.ndarray:
    """(n, 24, 32) uint8 to (n, 768) float32 of mean 0 and length 1: products of rows are correlations."""
    flat = fingerprints.reshape(len(fingerprints), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def polarity_scores(
    groups: list[str], visible: np.ndarray, infrared: np.ndarray, skewness: np.ndarray, usable: np.ndarray
) -> np.ndarray:
    """A score a row, float32 (n,); below `INVERTED` it is inverted, NaN where too few frames could vote.

    groups: sequence and kind of band of each row; visible, infrared: fingerprints uint8 (n, 24, 32), rows in the order
    of time; usable: bool (n,). Of several inverted frames the worst is found first, and votes no more.
    """
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        if usable[index]:
            members.setdefault(group, []).append(index)
    scores = np.full(len(groups), np.nan, np.float32)
    for rows in members.values():
        if len(rows) > OTHERS:
            scores[rows] = _score_group(visible[rows], infrared[rows], skewness[rows])
    return scores


def _score_group(visible: np.ndarray, infrared: np.ndarray, skewness: np.ndarray) -> np.ndarray:
    seen, heat, detail = normalised(visible), normalised(infrared), np.tanh(skewness)
    cross = np.sum(seen * heat, axis=1)
    voting = np.ones(len(heat), bool)
    scores = np.full(len(heat), np.nan, np.float32)
    stale = np.arange(len(heat))
    while True:
        for i in stale:
            scores[i] = _score(i, seen, heat, detail, cross, voting)
        candidates = np.where(voting & (scores < INVERTED), scores, np.inf)
        worst = int(candidates.argmin())
        if not np.isfinite(candidates[worst]):
            return scores
        voting[worst] = False
        stale = np.arange(max(worst - NEIGHBOURS, 0), min(worst + NEIGHBOURS + 1, len(heat)))


def _score(i: int, seen, heat, detail, cross, voting) -> float:
    near = np.arange(max(i - NEIGHBOURS, 0), min(i + NEIGHBOURS + 1, len(heat)))
    others = near[voting[near] & (near != i)]
    if len(others) < OTHERS:
        return float("nan")
    alike = np.maximum(seen[others] @ seen[i], 0) ** 4 + 1e-3
    by_frames = float(alike @ (heat[others] @ heat[i]) / alike.sum())
    by_visible = float(cross[i] * cross[others].mean())
    by_detail = float(detail[i] * np.median(detail[others]))
    return by_frames + by_visible + 0.5 * by_detail


def detail_skewness(grey: np.ndarray) -> float:
    """Third standardised moment of what is finer than a twentieth of the width; grey is uint8 (H, W)."""
    picture = cv2.resize(grey, SKEWNESS_SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = picture - cv2.GaussianBlur(picture, (0, 0), SKEWNESS_SIZE[0] / 20)
    return float((detail**3).mean() / (detail.std() ** 3 + 1e-6))
