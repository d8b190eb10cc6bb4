"""Two ways of one work, in turn many times in one process: what the first takes over the second. Imported, not run."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from tqdm.auto import tqdm

Way = Callable[[], object]
LEVEL, DRAWS = 0.95, 5000


def seconds(way: Way) -> float:
    """Of one run, what it left on a GPU included."""
    _settle()
    started = time.perf_counter()
    way()
    _settle()
    return time.perf_counter() - started


def in_turn(ours: Way, theirs: Way, rounds: int, label: str, warm_up: int = 1, seed: int = 0) -> dict:
    """Median ratio of seconds, ours over theirs, with its interval and quartiles.

    Each round runs both, and the one that begins changes from round to round: what else the machine does, and how warm
    it is, meets both alike. The first `warm_up` rounds do not count.
    """
    pairs = []
    for turn in tqdm(range(warm_up + rounds), desc=label, unit="round", leave=False):
        if turn % 2:
            late = seconds(theirs)
            pairs.append((seconds(ours), late))
        else:
            pairs.append((seconds(ours), seconds(theirs)))
    return summary(pairs[warm_up:], seed)


def summary(pairs: list[tuple[float, float]], seed: int = 0) -> dict:
    """Of (ours, theirs) in seconds, round by round; the interval is a percentile bootstrap of the median."""
    ratios = np.array([one / other for one, other in pairs])
    drawn = np.random.default_rng(seed).integers(0, len(ratios), (DRAWS, len(ratios)))
    tails = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    low, high = np.quantile(np.median(ratios[drawn], axis=1), tails)
    return {
        "ratio": round(float(np.median(ratios)), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "quartiles": [round(float(value), 4) for value in np.quantile(ratios, (0.25, 0.75))],
        "rounds": len(ratios),
        "seconds": [round(median(column), 4) for column in zip(*pairs, strict=True)],  # ours, theirs
    }


def compiled_or_why(first: Way, then: Callable[[], dict]) -> dict:
    """What `then` measures after a first run, which compiles; or why it does not: no C++ compiler here, say."""
    try:
        took = seconds(first)
    except RuntimeError as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return {"skipped": f"torch.compile does not work here: {said[:200]}"}
    return then() | {"first_run_seconds": round(took, 1)}


def _settle() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
