"""How well a linear function of some features names a class: the question "is it in there, ready to be used?".

Ridge regression onto class indicators, classes weighted alike, the penalty chosen by cross-validation over scenes. It
has a closed form, one eigendecomposition for all penalties, and one dial. Scored by balanced accuracy, the mean of the
classes' recalls: who always names the most frequent class scores 1 / K, however frequent it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from v2ir_lib.metrics.intervals import Interval

PENALTIES = tuple(10.0**power for power in range(-3, 3))  # on features of unit variance
QUIET = 0.2  # how much of its standard deviation a block of features may be left with, beside the others
FOLDS = 5


@dataclass(frozen=True)
class Probe:
    """scores = (x − centre) / scale @ weights + offset; the largest names the class."""

    classes: np.ndarray  # (K,)
    centre: np.ndarray  # (D,)
    scale: np.ndarray  # (D,)
    weights: np.ndarray  # (D, K)
    offset: np.ndarray  # (K,)
    penalty: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Classes (N,) of features (N, D)."""
        scores = (np.asarray(features, dtype=np.float64) - self.centre) / self.scale @ self.weights + self.offset
        return self.classes[scores.argmax(axis=1)]


def fit_all(
    features: np.ndarray, labels: np.ndarray, penalties: Sequence[float] = PENALTIES, gains: np.ndarray | float = 1.0
) -> list[Probe]:
    """A probe for each penalty from features (N, D) and labels (N,).

    Features are standardised, then multiplied by `gains`, (D,) or one for all: a small one is penalised more.
    """
    x = np.asarray(features, dtype=np.float64)
    classes, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-9 * (1 + np.abs(centre))] = 1.0  # constant: says nothing, and must not divide by nothing
    scale = scale / gains
    x = (x - centre) / scale
    weight = 1 / (len(classes) * counts[numbers])  # each class counts as much as any other
    middle = weight @ x
    x = x - middle
    target = (numbers[:, None] == np.arange(len(classes))) - 1 / len(classes)
    values, vectors = np.linalg.eigh((x * weight[:, None]).T @ x)
    along = vectors.T @ ((x * weight[:, None]).T @ target)
    values = values.clip(min=0)
    probes = []
    for penalty in penalties:
        weights = vectors @ (along / (values + penalty)[:, None])
        probes.append(Probe(classes, centre, scale, weights, 1 / len(classes) - middle @ weights, penalty))
    return probes


def fit(
    blocks: Sequence[np.ndarray],
    labels: np.ndarray,
    groups: np.ndarray,
    seed: int = 0,
    penalties: Sequence[float] = PENALTIES,
    folds: int = FOLDS,
) -> Probe:
    """The probe of blocks of features, each (N, D_b), side by side; its settings are those best on scenes left out.

    Chosen by balanced accuracy: the penalty (the larger of equals), and which block, if any, is turned down to `QUIET`:
    a block that says little must not drown one that says much. groups (N,): the scene of each row; no scene is split
    between folds. `ValueError` for fewer scenes than folds.
    """
    features, labels = np.concatenate(blocks, axis=1), np.asarray(labels)
    widths = [block.shape[1] for block in blocks]
    equal = np.ones(len(blocks))
    quieter = [np.where(np.arange(len(blocks)) == number, QUIET, 1.0) for number in range(len(blocks))]
    fold = fold_of(groups, folds, seed)
    best, chosen = (-1.0, 0.0), None
    for levels in [equal, *(quieter if len(blocks) > 1 else [])]:
        gains = np.repeat(levels, widths)
        answers = np.empty((len(penalties), len(labels)), dtype=labels.dtype)
        for number in range(folds):
            out = fold == number
            for row, probe in enumerate(fit_all(features[~out], labels[~out], penalties, gains)):
                answers[row, out] = probe.predict(features[out])
        for penalty, row in zip(penalties, answers, strict=True):
            score = (round(balanced_accuracy(labels, row), 9), penalty)
            if score > best:
                best, chosen = score, (penalty, gains)
    return fit_all(features, labels, [chosen[0]], chosen[1])[0]


def fold_of(groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold 0 … folds−1 of each row (N,), whole groups together, group numbers shared out evenly at random."""
    names, numbers = np.unique(groups, return_inverse=True)
    if len(names) < folds:
        raise ValueError(f"{len(names)} scenes cannot be divided into {folds} folds")
    return np.random.default_rng(seed).permutation(len(names))[numbers] % folds


def balanced_accuracy(true: np.ndarray, answers: np.ndarray) -> float:
    """The mean of the recalls of the classes that occur in `true`."""
    true, answers = np.asarray(true), np.asarray(answers)
    return float(np.mean([np.mean(answers[true == one] == one) for one in np.unique(true)]))


def intervals(
    true: np.ndarray,
    answers: Mapping[str, np.ndarray],
    groups: np.ndarray,
    differences: Sequence[tuple[str, str]] = (),
    seed: int = 0,
    level: float = 0.95,
    draws: int = 2000,
) -> dict[str, Interval]:
    """Balanced accuracy of each of `answers`, and "a minus b" for each of `differences`, with percentile intervals.

    Bootstrap over groups (scenes), the same draws for all, so that what two answers share drops out of a difference.
    A class that a draw lacks is left out of that draw's mean.
    """
    true, groups = np.asarray(true), np.asarray(groups)
    names, numbers = np.unique(groups, return_inverse=True)
    indicator = true[:, None] == np.unique(true)  # (N, K)
    times = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), draws)
    occurs = times @ _sum_by(numbers, indicator, len(names))  # (draws, K)
    points, drawn = {}, {}
    for name, answer in answers.items():
        right = indicator & (np.asarray(answer) == true)[:, None]
        hits = times @ _sum_by(numbers, right, len(names))
        recalls = np.divide(hits, occurs, out=np.full(hits.shape, np.nan), where=occurs > 0)
        points[name], drawn[name] = balanced_accuracy(true, answer), np.nanmean(recalls, axis=1)
    for ours, theirs in differences:
        name = f"{ours} minus {theirs}"
        points[name], drawn[name] = points[ours] - points[theirs], drawn[ours] - drawn[theirs]
    bounds = [(1 - level) / 2, (1 + level) / 2]
    return {
        name: Interval(points[name], *map(float, np.quantile(drawn[name], bounds)), len(names), level)
        for name in points
    }


def _sum_by(numbers: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Sums of rows (N, K) over groups, (count, K)."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, numbers, values)
    return sums
