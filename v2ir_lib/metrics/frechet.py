"""Fréchet distance between two sets of feature vectors: FID with Inception's features, FD-tiny with our own network's.

The number depends on the features and, upwards, on how few samples there are: say both beside it, never compare two
numbers of different networks or counts, and give real pictures against other real ones as the floor.
"""

import numpy as np


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Wasserstein-2 distance of the Gaussians fitted to features a (N, D) and b (M, D), both N and M > D.

    |μ_a − μ_b|² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½) (Heusel et al. 2017, Eq. 6), in squared units of the features.
    `ValueError` for other shapes, too few samples, or features that are not finite.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"need features (N, D) and (M, D), got {a.shape} and {b.shape}")
    if min(len(a), len(b)) <= a.shape[1]:
        raise ValueError(f"{min(len(a), len(b))} samples cannot give a covariance of {a.shape[1]} features: take more")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("features must be finite")
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # Σ_a Σ_b has the eigenvalues of the symmetric Σ_a^½ Σ_b Σ_a^½, whose square roots are real
    values, vectors = np.linalg.eigh(np.atleast_2d(cov_a))
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ np.atleast_2d(cov_b) @ root).clip(min=0)
    shift = a.mean(0) - b.mean(0)
    return float(max(0.0, shift @ shift + np.trace(np.atleast_2d(cov_a + cov_b)) - 2 * np.sqrt(cross).sum()))
