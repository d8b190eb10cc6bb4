"""PSNR and SSIM against cases worked out by hand, and what alignment forgives."""

import numpy as np
import pytest

from v2ir_lib.metrics.pixel import affine_aligned, psnr, psnr_aligned, ssim, ssim_aligned


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(0).integers(40, 200, (3, 24, 32)).astype(np.uint8)


def test_a_uniform_error_gives_the_psnr_of_its_formula(truth):
    """An error of 5 in every pixel: 10 log10(255² / 25) = 34.151 dB, whatever the picture."""
    assert psnr(truth + 5, truth) == pytest.approx([34.1514] * 3, abs=1e-3)
    assert psnr((truth + 5) / 255, truth / 255, data_range=1.0) == pytest.approx([34.1514] * 3, abs=1e-3)


def test_each_picture_has_its_own_number(truth):
    """The mean of PSNRs is not the PSNR of the mean error: one picture must not change another's."""
    pictures = truth.astype(float)
    pictures[1] += 10
    got = psnr(pictures, truth)
    assert np.isinf(got[[0, 2]]).all() and got[1] == pytest.approx(20 * np.log10(25.5), abs=1e-3)
    assert ssim(pictures, truth)[[0, 2]] == pytest.approx([1, 1]) and ssim(pictures, truth)[1] < 0.9999


def test_uint8_does_not_wrap_around():
    """250 against 5 is an error of 245; in uint8 arithmetic it would be 11."""
    dark, bright = np.full((1, 16, 16), 5, np.uint8), np.full((1, 16, 16), 250, np.uint8)
    assert psnr(dark, bright)[0] == pytest.approx(20 * np.log10(255 / 245), abs=1e-4)


def test_ssim_of_two_flat_pictures_is_the_luminance_term():
    """Without contrast SSIM is (2ab + c₁) / (a² + b² + c₁) with c₁ = (0.01 · 255)²."""
    a, b, c1 = 50.0, 100.0, 2.55**2
    flat = np.ones((1, 20, 20))
    assert ssim(a * flat, b * flat)[0] == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=1e-6)


def test_alignment_undoes_gain_offset_and_inversion(truth):
    for changed in (0.4 * truth + 60.0, 255.0 - truth):
        assert psnr(changed, truth).max() < 30
        assert affine_aligned(changed, truth) == pytest.approx(truth.astype(float), abs=1e-6)
        assert psnr_aligned(changed, truth).min() > 100 and ssim_aligned(changed, truth).min() > 0.9999


def test_alignment_never_hurts_and_cannot_invent_structure(truth):
    other = np.random.default_rng(1).integers(0, 255, truth.shape).astype(np.uint8)
    assert (psnr_aligned(other, truth) > psnr(other, truth)).all()
    assert ssim_aligned(other, truth).max() < 0.3
    flat = np.full(truth.shape, 7, np.uint8)
    assert affine_aligned(flat, truth)[0] == pytest.approx(truth[0].mean())


def test_shapes_that_would_broadcast_are_refused(truth):
    with pytest.raises(ValueError, match="one shape"):
        psnr(truth[:1], truth)
    with pytest.raises(ValueError, match="larger than 11"):
        ssim(truth[:, :10], truth[:, :10])


def test_ssim_of_many_pictures_is_that_of_each():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 256, (35, 24, 20)).astype(np.uint8)
    pictures = np.clip(truth + rng.integers(-40, 40, truth.shape), 0, 255).astype(np.uint8)
    alone = np.concatenate([ssim(pictures[i : i + 1], truth[i : i + 1]) for i in range(len(truth))])
    np.testing.assert_allclose(ssim(pictures, truth), alone, rtol=1e-9)
