"""Fréchet distance: known values of Gaussians, symmetry, and refusals."""

import numpy as np
import pytest

from v2ir_lib.metrics.frechet import frechet_distance


def test_shift_and_scale_have_the_known_distance():
    x = np.random.default_rng(0).standard_normal((4000, 3))
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + np.array([3, 0, 4])) == pytest.approx(25)
    # N(0, C) against N(0, 9 C): tr(C + 9 C − 6 C) = 4 tr C
    assert frechet_distance(x, 3 * x) == pytest.approx(12, rel=1e-6)


def test_commuting_covariances_compare_by_standard_deviations():
    rng = np.random.default_rng(1)
    x = np.linalg.qr(rng.standard_normal((500, 2)))[0]
    x = np.linalg.qr(x - x.mean(0))[0] * np.sqrt(499)  # exactly white, zero mean
    a, b = x * [1, 5], x * [2, 3]
    assert frechet_distance(a, b) == pytest.approx((1 - 2) ** 2 + (5 - 3) ** 2)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(5)
    c = b @ turn  # not commuting: still symmetric
    assert frechet_distance(a, c) == pytest.approx(frechet_distance(c, a)) and frechet_distance(a, c) > 5


@pytest.mark.parametrize(
    "a, b, message",
    [
        (np.zeros((5, 2)), np.zeros((5, 3)), "need features"),
        (np.zeros((3, 3)), np.zeros((9, 3)), "3 samples"),
        (np.full((9, 2), np.nan), np.zeros((9, 2)), "finite"),
    ],
)
def test_refuses(a, b, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(a, b)
