"""How far one set of pictures is from another, by their features: the Fréchet distance, and KID where there are few.

A Fréchet distance of few pictures is mostly the error of its covariances, and grows as they get fewer; so it is refused
below 512. KID has an unbiased estimator and may be used on small sets; its spread says what it is worth there.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch

from v2ir_lib.errors import UserError
from v2ir_lib.metrics.frechet import frechet_distance

FD_LEAST = 512  # pictures, for FD-tiny and for FID
KID_LEAST = 16
HALVES = 50  # random halves that give KID's spread


@dataclass(frozen=True)
class Kernel:
    """KID of N pictures against N; `spread` is the standard deviation of KID over random halves of both sets."""

    value: float
    spread: float
    n: int

    def as_dict(self, digits: int = 4) -> dict:
        """For a result file, floats rounded."""
        return {key: round(value, digits) if isinstance(value, float) else value for key, value in asdict(self).items()}


def enough_for(what: str, least: int, *counts: int) -> None:
    """`UserError` where a set has fewer than `least` pictures."""
    if min(counts) < least:
        instead = "; KID works from 16 on" if least > KID_LEAST else ""
        raise UserError(f"{what} needs {least} pictures or more on each side, here are {min(counts)}{instead}")


def feature_distance(a: np.ndarray, b: np.ndarray) -> float:
    """FD-tiny: the Fréchet distance of features (N, D) and (M, D). `UserError` below 512 pictures."""
    enough_for("a Fréchet distance", FD_LEAST, len(a), len(b))
    return frechet_distance(a, b)


def kernel_distance(a: np.ndarray, b: np.ndarray, seed: int = 0) -> Kernel:
    """KID: the unbiased squared maximum mean discrepancy with the kernel (x·y / D + 1)³ (Bińkowski et al. 2018, §4).

    a, b: features (N, D), as many of each (`ValueError` otherwise). Zero on average for two samples of one
    distribution, so it may be below zero. The same seed gives the same spread. `UserError` below 16 pictures.
    """
    from torchmetrics.image.kid import maximum_mean_discrepancy, poly_kernel  # slow to import

    a, b = (torch.from_numpy(np.asarray(x, dtype=np.float64)) for x in (a, b))
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"KID needs two arrays of one shape (N, D), got {tuple(a.shape)} and {tuple(b.shape)}")
    enough_for("KID", KID_LEAST, len(a))
    within, across, other = poly_kernel(a, a), poly_kernel(a, b), poly_kernel(b, b)
    # a half's three sums are bilinear forms of who is in it, (HALVES, N): no kernel is computed twice
    rng, half = np.random.default_rng(seed), len(a) // 2
    first = np.tile(np.arange(len(a)) < half, (HALVES, 1))
    ours, theirs = (torch.from_numpy(rng.permuted(first, axis=1)).to(a.dtype) for _ in range(2))
    pairs = sum(((z @ k) * z).sum(1) - z @ k.diag() for z, k in ((ours, within), (theirs, other)))
    parts = pairs / (half * (half - 1)) - 2 * ((ours @ across) * theirs).sum(1) / half**2
    return Kernel(float(maximum_mean_discrepancy(within, across, other)), float(parts.std(correction=0)), len(a))
