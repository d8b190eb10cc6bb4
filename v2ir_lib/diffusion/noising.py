"""The forward process, and the question that the network is trained to answer about it (paper §3.1, Eq. 1).

A latent z_0 and noise eps ~ N(0, 1) are mixed, z_t = √ᾱ·z_0 + √(1 − ᾱ)·eps. The network sees z_t and is asked for one
of two things, which are each other's in other words, since z_t is known:

    epsilon:        eps
    v_prediction:   v = √ᾱ·eps − √(1 − ᾱ)·z_0      (Salimans & Ho 2022, §4)

The paper and Stable Diffusion v1.5 ask for eps. But what a picture is made of is z_0 = (z_t − √(1 − ᾱ)·eps) / √ᾱ, and
where nearly all is noise, at t = 999, the division makes an error in eps fifteen times as large. A model that is
trained for minutes has such errors, and the overall brightness, which is settled there, is lost. v has no such place.
Eq. 2 is the same in both: a weighted mean of v, at one z_t, is the v of the same mean of eps.

Even at t = 999 a picture's mean brightness is still to be read off z_t: over 24 x 24 places the noise averages out to a
twenty-fourth. So in training the network learns to read it there, and in sampling, which begins with noise alone, it
reads nothing (Lin et al. 2024, §3.1). A thermal picture's brightness is its temperature: adding the true mean to the
first noise of a tiny model trained without offsets took 32 validation scenes from 15.5 to 21.4 dB. Offset noise
(Guttenberg 2023) hides the mean as well as the rest: every channel of eps gets a constant of its own, so that words and
the visible picture must tell. The paper has none; the scheduler's sigmas stay as they are.
"""

import torch

PREDICTIONS = ("epsilon", "v_prediction")  # diffusers' names


def offset_noise(eps: torch.Tensor, constants: torch.Tensor, offset: float) -> torch.Tensor:
    """eps (…, 4, h, w) plus `offset` times a constant of each channel, N(0, 1) (…, 4): variance 1 + offset²."""
    return eps + offset * constants[..., None, None]


def add_noise(z_0: torch.Tensor, eps: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """z_t for ᾱ in (0, 1), broadcast over z_0 and eps."""
    return alpha_bar.sqrt() * z_0 + (1 - alpha_bar).sqrt() * eps


def question(z_0: torch.Tensor, eps: torch.Tensor, alpha_bar: torch.Tensor, prediction: str) -> torch.Tensor:
    """What the network should answer, of z_0's shape. Raises `ValueError` for a prediction not in `PREDICTIONS`."""
    if prediction == "epsilon":
        return eps
    if prediction == "v_prediction":
        return alpha_bar.sqrt() * eps - (1 - alpha_bar).sqrt() * z_0
    raise ValueError(f"unknown prediction {prediction!r}: choose one of {', '.join(PREDICTIONS)}")


def estimate(z_t: torch.Tensor, answer: torch.Tensor, alpha_bar: torch.Tensor, prediction: str) -> torch.Tensor:
    """The z_0 that an answer of the network to z_t stands for: `question` the other way round."""
    if prediction == "epsilon":
        return (z_t - (1 - alpha_bar).sqrt() * answer) / alpha_bar.sqrt()
    if prediction == "v_prediction":
        return alpha_bar.sqrt() * z_t - (1 - alpha_bar).sqrt() * answer
    raise ValueError(f"unknown prediction {prediction!r}: choose one of {', '.join(PREDICTIONS)}")


def min_snr_weights(alpha_bar: torch.Tensor, gamma: float | None, prediction: str = "epsilon") -> torch.Tensor:
    """Weights of squared errors, same shape as `alpha_bar`: an error in z_0 counts min(SNR, γ), SNR = ᾱ / (1 − ᾱ).

    That is min(SNR, γ) / SNR for an error in eps, and min(SNR, γ) / (SNR + 1) for one in v; ones without γ.
    Where there is little noise, an error in eps says little about the picture. Source: Hang et al. 2023, §3.4.
    """
    if gamma is None:
        return torch.ones_like(alpha_bar)
    snr = alpha_bar / (1 - alpha_bar)
    return snr.clamp(max=gamma) / (snr if prediction == "epsilon" else snr + 1)
