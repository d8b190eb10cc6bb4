"""The Table 1 experiment's arithmetic: scores of each test frame into means and paired differences with intervals.

A sequence has one test frame, so drawing frames again is drawing sequences again. The intervals say how sure a mean is
over sequences, with the training sets as they are; what depends on a set or on a training, the other half and the
other seeds say.
"""

from collections.abc import Sequence

import numpy as np

from v2ir_lib.metrics.intervals import bootstrap_interval, paired_interval
from v2ir_lib.metrics.pixel import psnr, psnr_aligned, ssim

METRICS = {"psnr": psnr, "ssim": ssim, "psnr_aligned": psnr_aligned}
INTERVAL_SEED = 0
Scores = dict[str, np.ndarray]  # metric → one value a test frame, (N,)


def score(pictures: np.ndarray, truth: np.ndarray) -> Scores:
    """Every metric of pictures against their truth, both uint8 (N, h, w)."""
    return {name: metric(pictures, truth) for name, metric in METRICS.items()}


def means(scores: Scores) -> dict[str, dict]:
    """Each metric's mean with its 95% interval over sequences."""
    return {name: bootstrap_interval(values, INTERVAL_SEED).as_dict() for name, values in scores.items()}


def differences(leaky: Scores, clean: Scores) -> dict[str, dict]:
    """Each metric's paired difference, leaky minus clean, with its 95% interval over sequences."""
    return {name: paired_interval(leaky[name], clean[name], INTERVAL_SEED).as_dict() for name in leaky}


def over_seeds(runs: Sequence[Scores]) -> Scores:
    """Each test frame's mean over training seeds."""
    return {name: np.mean([run[name] for run in runs], axis=0) for name in runs[0]}


def joined(*parts: Scores) -> Scores:
    """The scores of several sets of test frames, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def chosen(scores: Scores, rows: np.ndarray) -> Scores:
    """The scores of the test frames with these numbers."""
    return {name: values[rows] for name, values in scores.items()}


def comparison(leaky: Sequence[Scores], clean: Sequence[Scores]) -> dict:
    """Both training sets' scores, averaged over seeds, their paired difference, and that difference seed by seed.

    `leaky` and `clean` hold one `Scores` a training seed, in the same order, of the same test frames.
    """
    ours, theirs = over_seeds(leaky), over_seeds(clean)
    by_seed = {
        name: [round(float((one[name] - other[name]).mean()), 4) for one, other in zip(leaky, clean, strict=True)]
        for name in ours
    }
    return {
        "sequences": len(ours["psnr"]),
        "leaky": means(ours),
        "clean": means(theirs),
        "leaky_minus_clean": differences(ours, theirs),
        "leaky_minus_clean_by_seed": by_seed,
    }
