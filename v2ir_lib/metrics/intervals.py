"""How sure a mean is: percentile bootstrap intervals, also of paired differences.

What is drawn again must be what is independent: scenes, not frames. Average frames over their scene first
(`mean_per_group`), then ask for the interval.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

DRAWN_AT_ONCE = 4_000_000  # numbers


@dataclass(frozen=True)
class Interval:
    """A mean of `n` values and the bounds that hold it with probability `level`."""

    mean: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def as_dict(self, digits: int = 4) -> dict:
        """For a result file, floats rounded."""
        return {key: round(value, digits) if isinstance(value, float) else value for key, value in asdict(self).items()}


def bootstrap_interval(values: Sequence[float], seed: int, level: float = 0.95, draws: int = 5000) -> Interval:
    """Percentile bootstrap of the mean (Efron 1979): draw n of n values with replacement, `draws` times.

    The same seed gives the same bounds. `ValueError` for no values or values that are not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError("a bootstrap interval needs a list of at least one finite value")
    rng = np.random.default_rng(seed)
    n = len(values)
    rows = max(1, DRAWN_AT_ONCE // n)  # a few draws at a time: all of 50,000 pictures at once would take gigabytes
    means = np.concatenate(
        [values[rng.integers(0, n, (min(rows, draws - done), n))].mean(axis=1) for done in range(0, draws, rows)]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high), n, level)


def paired_interval(ours: Sequence[float], theirs: Sequence[float], seed: int, level: float = 0.95) -> Interval:
    """Interval of mean(ours − theirs) over the same items in the same order: the scatter that both share drops out."""
    ours, theirs = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if ours.shape != theirs.shape:
        raise ValueError(f"paired values must be as many: {ours.shape} and {theirs.shape}")
    return bootstrap_interval(ours - theirs, seed, level)


def mean_per_group(values: Sequence[float], groups: Sequence) -> np.ndarray:
    """The mean of each group (a scene, a sequence), one value a group, groups in sorted order."""
    values, groups = np.asarray(values, dtype=np.float64), np.asarray(groups)
    if values.shape != groups.shape:
        raise ValueError(f"one group a value: {values.shape} and {groups.shape}")
    return np.array([values[groups == group].mean() for group in np.unique(groups)])
