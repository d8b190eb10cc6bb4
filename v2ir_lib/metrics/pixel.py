"""PSNR and SSIM of each picture, plain and after the best affine change of grey level.

One picture gives one number: the mean over pictures is taken by the caller, who knows what a sample is (a scene, a
frame). All functions take `pictures` and `truth` as (N, H, W) arrays, uint8 or float, and state the range of values.
"""

import numpy as np
import torch

DATA_RANGE = 255.0  # of a uint8 picture: PSNR = 10 log10(255² / MSE)
SSIM_PICTURES = 16
SSIM_WINDOW = 11  # pixels; Gaussian of sigma 1.5 (Wang et al. 2004)


def psnr(pictures: np.ndarray, truth: np.ndarray, data_range: float = DATA_RANGE) -> np.ndarray:
    """Peak signal-to-noise ratio of each picture in dB, (N,); infinite where a picture equals its truth."""
    from torchmetrics.functional.image import peak_signal_noise_ratio  # slow to import

    pictures, truth = _as_batches(pictures, truth)
    decibels = peak_signal_noise_ratio(pictures, truth, data_range=data_range, reduction="none", dim=(1, 2, 3))
    return decibels.numpy()


def ssim(pictures: np.ndarray, truth: np.ndarray, data_range: float = DATA_RANGE) -> np.ndarray:
    """Structural similarity of each picture, (N,), 1 where equal. Pictures must be larger than the 11-pixel window."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    pictures, truth = _as_batches(pictures, truth)
    if min(truth.shape[-2:]) <= SSIM_WINDOW:
        raise ValueError(f"SSIM needs pictures larger than {SSIM_WINDOW} pixels, got {tuple(truth.shape[-2:])}")
    parts = [  # few at a time: the window's convolution in float64 takes 45 MB a picture of 96 pixels
        structural_similarity_index_measure(*pair, data_range=data_range, reduction="none").reshape(-1)
        for pair in zip(pictures.split(SSIM_PICTURES), truth.split(SSIM_PICTURES), strict=True)
    ]
    return torch.cat(parts).numpy()


def affine_aligned(pictures: np.ndarray, truth: np.ndarray, data_range: float = DATA_RANGE) -> np.ndarray:
    """Each picture under the gain and offset that bring it nearest to its truth, clipped to [0, data_range].

    Infrared grey levels depend on a camera's gain, which no visible image tells. Least squares finds
    a, b = argmin ‖a·picture + b − truth‖² for every picture; a may be negative, so an inverted picture is not punished.
    Returns float64 (N, H, W). A flat picture becomes the mean of its truth.
    """
    pictures, truth = _as_pairs(pictures, truth)
    p_mean, t_mean = (x.mean(axis=(1, 2), keepdims=True) for x in (pictures, truth))
    variance = ((pictures - p_mean) ** 2).mean(axis=(1, 2), keepdims=True)
    covariance = ((pictures - p_mean) * (truth - t_mean)).mean(axis=(1, 2), keepdims=True)
    gain = np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > 0)
    return np.clip(gain * (pictures - p_mean) + t_mean, 0, data_range)


def psnr_aligned(pictures: np.ndarray, truth: np.ndarray, data_range: float = DATA_RANGE) -> np.ndarray:
    """`psnr` after `affine_aligned`: what remains when the grey-level scale is forgiven."""
    return psnr(affine_aligned(pictures, truth, data_range), truth, data_range)


def ssim_aligned(pictures: np.ndarray, truth: np.ndarray, data_range: float = DATA_RANGE) -> np.ndarray:
    """`ssim` after `affine_aligned`."""
    return ssim(affine_aligned(pictures, truth, data_range), truth, data_range)


def _as_pairs(pictures: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 (N, H, W); `ValueError` where they do not match: broadcasting would hide it."""
    pictures, truth = np.asarray(pictures, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if pictures.shape != truth.shape or truth.ndim != 3:
        raise ValueError(f"need two arrays of one shape (N, H, W), got {pictures.shape} and {truth.shape}")
    return pictures, truth


def _as_batches(pictures: np.ndarray, truth: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Both as float64 tensors (N, 1, H, W)."""
    return tuple(torch.from_numpy(x).unsqueeze(1) for x in _as_pairs(pictures, truth))
