"""From one number a picture to what a result file holds: means over scenes, intervals, differences, verdicts.

JSON has neither infinity nor NaN. An infinite value (PSNR of equal pictures) is written as the text "Infinity", which
Python's `float` and JavaScript's `Number` read back; what there is not (no interval of one scene) is null.
"""

from collections.abc import Sequence

import numpy as np

from v2ir_lib.evaluation.scores import METRICS, Scores
from v2ir_lib.metrics.intervals import bootstrap_interval, mean_per_group
from v2ir_lib.metrics.physics_checks import LIMITS
from v2ir_lib.world import CLASSES

LEVEL = 0.95
INFINITY = "Infinity"


def over_scenes(values: np.ndarray, scenes: Sequence, seed: int, digits: int = 4) -> dict:
    """Mean over scenes of values (N,) with its interval: mean, low, high, n scenes, level, pictures.

    A scene's value is the mean of its pictures'; NaN, a question not asked, is left out. Bounds are null for one scene
    and where the mean is infinite; all is null where nothing was asked.
    """
    values, numbers = np.asarray(values, np.float64), np.unique(scenes, return_inverse=True)[1]
    known = ~np.isnan(values)
    means = mean_per_group(values[known], numbers[known])
    entry = {"mean": None, "low": None, "high": None, "n": len(means), "level": LEVEL}
    if len(means) > 1 and np.isfinite(means).all():
        entry = bootstrap_interval(means, seed, LEVEL).as_dict(digits)
    elif len(means):
        mean = float(means.mean())
        entry["mean"] = round(mean, digits) if np.isfinite(mean) else (INFINITY if mean > 0 else f"-{INFINITY}")
    return entry | {"pictures": int(known.sum())}


def difference(ours: np.ndarray, theirs: np.ndarray, scenes: Sequence, seed: int) -> dict:
    """`over_scenes` of ours − theirs by picture: what both find hard drops out. Equal infinities differ by 0."""
    ours, theirs = (np.asarray(values, np.float64) for values in (ours, theirs))
    with np.errstate(invalid="ignore"):
        gap = ours - theirs
    return over_scenes(np.where(np.isinf(ours) & (ours == theirs), 0.0, gap), scenes, seed)


def metrics_of(scores: Scores, scenes: Sequence, seed: int) -> dict[str, dict]:
    """Each metric that was computed, in the order of `METRICS`."""
    return {name: over_scenes(scores[name], scenes, seed) for name in METRICS if name in scores}


def differences_of(ours: Scores, theirs: Scores, scenes: Sequence, seed: int) -> dict[str, dict]:
    """Paired difference of each metric that has a direction or a zero; what both were asked of counts."""
    names = [name for name, metric in METRICS.items() if name in ours and name in theirs and metric.better]
    return {name: difference(ours[name], theirs[name], scenes, seed) for name in names}


def checks_of(metrics: dict[str, dict]) -> dict[str, dict]:
    """The verdict on each check that was made, and where its limits are."""
    return {
        name: {
            "verdict": limit.verdict(*(metrics[name][key] for key in ("mean", "low", "high"))),
            "least": None if np.isinf(limit.least) else limit.least,
            "most": None if np.isinf(limit.most) else limit.most,
        }
        for name, limit in LIMITS.items()
        if name in metrics
    }


def classes_of(scores: Scores, scenes: Sequence, seed: int) -> dict[str, dict]:
    """Mean absolute error and bias of each class, grey levels, over the scenes that show it; others are left out."""
    shown = [name for name in CLASSES if f"error {name}" in scores and not np.isnan(scores[f"error {name}"]).all()]
    return {
        name: {kind: over_scenes(scores[f"{kind} {name}"], scenes, seed, 2) for kind in ("error", "bias")}
        for name in shown
    }
