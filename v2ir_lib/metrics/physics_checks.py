"""What PSNR and FID hide: does a translation obey physics, and does it know more than a grey picture's tone curve?

Pictures are (N, H, W), uint8 or float, 0 to 255; each check gives one number a picture, (N,), NaN where its question
does not arise (no person, no lamp, broad daylight). What is warm is read from the true picture, never assumed: so the
checks hold for black-hot cameras, and for the summer night on which asphalt is warmer than a coat.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

LEAST_PIXELS = 12  # of a region: the mean of fewer is noise
LEAST_CONTRAST = 8.0  # grey levels between two regions of the truth, below which neither is called the warmer
DARK, SOURCE = 110, 250  # luma: a picture whose median is below the one is dark, pixels above the other are lights
MOST_LIGHT = 0.05  # share of the picture beyond which what is bright is no lamp but a sky, or snow
REACH = 1 / 16  # of the shorter side: how far from a light its bloom is looked for


@dataclass(frozen=True)
class Limit:
    """Where a check passes: at `least` or more, and at `most` or less. Conventions, wide enough for a good picture."""

    least: float = -np.inf
    most: float = np.inf

    def verdict(self, mean: float | None, low: float | None = None, high: float | None = None) -> str | None:
        """ "passes" or "fails" where the whole interval (or the mean, where there is none) says so, else "unsure"."""
        if mean is None:
            return None
        low, high = (mean if bound is None else bound for bound in (low, high))
        if self.least <= low and high <= self.most:
            return "passes"
        return "fails" if high < self.least or low > self.most else "unsure"


LIMITS = {
    "edge_agreement": Limit(least=0.5),
    "beyond_luma": Limit(least=0.1),
    "lamp_leak": Limit(-10, 10),
    "people_order": Limit(least=0.9),
    "sky_order": Limit(least=0.9),
    "water_order": Limit(least=0.9),
}


def edge_agreement(pictures: np.ndarray, truth: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    """Correlation of the gradients, as vectors, of both pictures smoothed by `sigma` pixels: −1 … 1, 1 where equal.

    Σ ∇p·∇t / √(Σ|∇p|² Σ|∇t|²). Shading counts little, edges much; the negative of the truth gives −1, a flat picture
    0. NaN where the truth is flat.
    """
    return _each(_edge_agreement, *_floats(pictures, truth), sigma=sigma)


def luma_correlation(pictures: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """Pearson's correlation with the visible picture's luma: −1 for inverted grey, 0 for a flat picture.

    Compare it with the same of the truth: infrared is not meant to be uncorrelated with light.
    """
    return _each(lambda p, v: _cosine(p - p.mean(), v - v.mean()), *_floats(pictures, luma))


def beyond_luma(pictures: np.ndarray, truth: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """Of what no tone curve of the grey picture can tell about the truth, the share that a picture does tell: 0 … 1.

    From truth and picture the mean at each of the 256 levels of luma is taken off; the share is the squared correlation
    of what is left (a squared partial correlation), 0 where that is negative. Inverted grey, and grey after any curve,
    gives exactly 0; the truth gives 1. NaN where the truth itself is a tone curve of the grey picture.

    luma: uint8 (N, H, W).
    """
    luma = np.asarray(luma)
    if luma.dtype != np.uint8:
        raise ValueError(f"luma must be uint8, whose 256 levels are the bins, not {luma.dtype}")
    pictures, truth, _ = _floats(pictures, truth, luma)
    return _each(_beyond_luma, pictures, truth, luma)


def lamp_leak(pictures: np.ndarray, truth: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """Grey levels by which a picture is too bright around visible lights, beyond its error elsewhere (paper, Fig. 3).

    A lamp's bloom is in the visible camera's glass and not in the scene: thermal pictures must not show it. For dark
    scenes only (median luma below 110, a night camera's gain is high): mean of (picture − truth) within 1/16 of the
    side around pixels brighter than 250 (at most a twentieth), without these and their neighbours, less the mean
    farther off. Positive: bloom leaks in; negative: its negative does.
    """
    return _each(_lamp_leak, *_floats(pictures, truth, luma))


def contrast(pictures: np.ndarray, inside: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Mean grey level inside one region less that of another; bool masks (N, H, W); NaN under 12 pixels in either."""
    (pictures,) = _floats(pictures)
    inside, around = np.asarray(inside, bool), np.asarray(around, bool)
    if not pictures.shape == inside.shape == around.shape:
        raise ValueError(f"masks must have the pictures' shape {pictures.shape}: {inside.shape}, {around.shape}")
    return _each(_contrast, pictures, inside, around)


def order_kept(contrasts: np.ndarray, true_contrasts: np.ndarray) -> np.ndarray:
    """1 where the region that is the warmer in the truth is so in the picture too, 0 where not.

    Both from `contrast`. NaN where it is NaN, or where the truth has less than 8 grey levels between the regions.
    """
    contrasts, true = np.asarray(contrasts, np.float64), np.asarray(true_contrasts, np.float64)
    asked = np.isfinite(contrasts) & (np.abs(np.nan_to_num(true)) >= LEAST_CONTRAST)
    return np.where(asked, (np.sign(contrasts) == np.sign(true)).astype(float), np.nan)


def region_error(pictures: np.ndarray, truth: np.ndarray, region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute error and mean error (picture − truth) inside a bool mask, grey levels; NaN under 12 pixels."""
    pictures, truth = _floats(pictures, truth)
    region = np.asarray(region, bool)
    if region.shape != truth.shape:
        raise ValueError(f"the mask must have the pictures' shape {truth.shape}: {region.shape}")
    error, count = (pictures - truth) * region, region.sum((1, 2))
    sums = np.stack([np.abs(error).sum((1, 2)), error.sum((1, 2))])
    return tuple(np.where(count >= LEAST_PIXELS, sums / np.maximum(count, 1), np.nan))


def _floats(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """All as float64 (N, H, W) of one shape; `ValueError` where not: broadcasting would hide it."""
    arrays = tuple(np.asarray(array, dtype=np.float64) for array in arrays)
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 3:
        raise ValueError(f"need arrays of one shape (N, H, W), got {', '.join(str(a.shape) for a in arrays)}")
    return arrays


def _each(function, *arrays: np.ndarray, **settings) -> np.ndarray:
    return np.array([function(*one, **settings) for one in zip(*arrays, strict=True)], dtype=np.float64)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    """a·b / |a||b|; NaN where b has nothing in it, 0 where only a has."""
    own, other = float((a * a).sum()), float((b * b).sum())
    nothing = 1e-9 * a.size  # grey levels squared: far below what one rounded pixel gives
    if other < nothing:
        return np.nan
    return 0.0 if own < nothing else float((a * b).sum() / np.sqrt(own * other))


def _edge_agreement(picture: np.ndarray, truth: np.ndarray, sigma: float) -> float:
    return _cosine(*(np.stack(np.gradient(gaussian_filter(x, sigma))) for x in (picture, truth)))


def _beyond_luma(picture: np.ndarray, truth: np.ndarray, luma: np.ndarray) -> float:
    levels, counts = luma.ravel(), np.bincount(luma.ravel(), minlength=256).clip(min=1)
    left = [x.ravel() - (np.bincount(levels, x.ravel(), 256) / counts)[levels] for x in (picture, truth)]
    correlation = _cosine(*left)
    return correlation if np.isnan(correlation) else max(correlation, 0.0) ** 2


def _lamp_leak(picture: np.ndarray, truth: np.ndarray, luma: np.ndarray) -> float:
    light = luma > SOURCE
    if np.median(luma) >= DARK or not 0 < light.mean() <= MOST_LIGHT:
        return np.nan
    away = distance_transform_edt(~light)
    reach = max(2.0, REACH * min(luma.shape))
    return _contrast(picture - truth, (away > 1.5) & (away <= reach), away > reach)


def _contrast(values: np.ndarray, inside: np.ndarray, around: np.ndarray) -> float:
    if min(inside.sum(), around.sum()) < LEAST_PIXELS:
        return np.nan
    return float(values[inside].mean() - values[around].mean())
