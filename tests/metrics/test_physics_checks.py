"""Every check passes on the truth and fails on a picture that is wrong on purpose; values worked out by hand."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from v2ir_lib.metrics.physics_checks import (
    LIMITS,
    Limit,
    beyond_luma,
    contrast,
    edge_agreement,
    lamp_leak,
    luma_correlation,
    order_kept,
    region_error,
)


@pytest.fixture
def night():
    """Two dark scenes: luma with two lamps and their bloom; a truth with warm people that the eye cannot see."""
    rng = np.random.default_rng(0)
    luma = rng.integers(10, 40, (2, 64, 64))
    lamps = np.zeros(luma.shape)
    lamps[:, 20:22, 20:22] = lamps[:, 40:43, 50:52] = 255
    bloom = np.stack([gaussian_filter(lamp, 3.0) * 6 for lamp in lamps])
    luma = np.clip(luma + bloom + lamps, 0, 255).round().astype(np.uint8)
    people = np.zeros(luma.shape, bool)
    people[:, 30:38, 10:13] = True
    ground = np.zeros(luma.shape, bool)
    ground[:, 25:] = True
    ground &= ~people
    truth = gaussian_filter(rng.normal(90, 60, luma.shape), (0, 2, 2)) + 60 * people
    return luma, np.clip(truth, 0, 255).round().astype(np.uint8), people, ground, np.minimum(bloom, 120)


def test_the_truth_passes_and_inverted_grey_fails(night):
    luma, truth, people, ground, _ = night
    warm = contrast(truth, people, ground)
    assert (warm > 40).all()

    def verdicts(pictures):
        values = {
            "edge_agreement": edge_agreement(pictures, truth),
            "beyond_luma": beyond_luma(pictures, truth, luma),
            "lamp_leak": lamp_leak(pictures, truth, luma),
            "people_order": order_kept(contrast(pictures, people, ground), warm),
        }
        return {name: LIMITS[name].verdict(float(value.mean())) for name, value in values.items()}

    assert set(verdicts(truth).values()) == {"passes"}
    wrong = verdicts(255 - luma)
    wrong.pop("people_order")  # people do not show in the visible picture: chance decides
    assert set(wrong.values()) == {"fails"}
    assert verdicts(255 - truth)["people_order"] == verdicts(255 - truth)["edge_agreement"] == "fails"


def test_a_lamp_that_leaks_in_is_caught_alone(night):
    """Bloom added to the truth: the other checks do not mind, the leak is about the bloom's mean around the lamps."""
    luma, truth, _, _, bloom = night
    leaking = truth + bloom
    assert lamp_leak(truth, truth, luma).tolist() == [0, 0]
    assert (lamp_leak(leaking, truth, luma) > 25).all() and (lamp_leak(truth - bloom, truth, luma) < -25).all()
    assert lamp_leak(truth + 30.0, truth, luma) == pytest.approx([0, 0]), "too bright everywhere is no leak"
    assert (beyond_luma(leaking, truth, luma) > 0.8).all()


def test_lamps_are_asked_for_in_the_dark_only(night):
    luma, truth, *_ = night
    assert np.isfinite(lamp_leak(truth, truth, np.maximum(luma, 109))).all()
    assert np.isnan(lamp_leak(truth, truth, np.maximum(luma, 110))).all(), "daylight"
    assert np.isnan(lamp_leak(truth, truth, np.minimum(luma, 250))).all(), "no lamp"
    luma[:, :4] = 255
    assert np.isnan(lamp_leak(truth, truth, luma)).all(), "a bright sky"


def test_a_lamp_by_hand():
    """One source pixel, reach 4 of 64: error 10 in the ring 1.5 < r ≤ 4, and 3 beyond: 7."""
    luma = np.zeros((1, 64, 64), np.uint8)
    luma[0, 32, 32] = 255
    y, x = np.mgrid[:64, :64]
    away = np.hypot(y - 32, x - 32)
    error = np.where(away <= 1.5, 99, np.where(away <= 4, 10, 3))
    assert lamp_leak(error[None] + 50, np.full((1, 64, 64), 50), luma) == pytest.approx([7])


def test_gradients_by_hand():
    y, x = np.mgrid[:16, :16].astype(float)
    down, across = y[None] * 5, x[None] * 3
    assert edge_agreement(down, down * 0.1 + 40) == pytest.approx([1])
    assert edge_agreement(255 - down, down) == pytest.approx([-1])
    assert edge_agreement(across, down) == pytest.approx([0], abs=1e-9)
    # ∇ = (5, 3) against (5, 0): 5 / √34 where the smoothing does not feel the border
    assert edge_agreement(down + across, down) == pytest.approx([5 / np.sqrt(34)], rel=1e-6)
    assert edge_agreement(down * 0 + 7, down).tolist() == [0] and np.isnan(edge_agreement(down, down * 0)).all()


def test_noise_is_no_edge():
    y = np.mgrid[:32, :32][0][None] * 4.0
    noisy = y + np.random.default_rng(0).normal(0, 6, y.shape)
    assert edge_agreement(noisy, y) > 0.9 > 0.75 > edge_agreement(noisy, y, sigma=0.01)


def test_any_tone_curve_of_grey_tells_nothing_beyond_it(night):
    luma, truth, *_ = night
    for curve in (255 - luma, luma, 255 * (luma / 255.0) ** 0.3, (luma > 30) * 200.0):
        assert beyond_luma(curve, truth, luma).tolist() == [0, 0]
    assert beyond_luma(truth, truth, luma) == pytest.approx([1, 1])
    assert beyond_luma(255.0 - truth, truth, luma).tolist() == [0, 0], "turned round is not told"
    assert np.isnan(beyond_luma(truth, luma, luma)).all()


def test_share_beyond_luma_by_hand():
    """Two levels of luma, within each the truth is ±a and the picture ±a and ±b, at right angles: a² / (a² + b²)."""
    luma = np.repeat([[10], [200]], 8, axis=1)[None].astype(np.uint8)
    a, b = np.tile([1, 1, -1, -1], 2), np.tile([1, -1, 1, -1], 2)
    truth, picture = luma + 4.0 * a, 90 - 0.3 * luma + 4.0 * a + 3.0 * b
    assert beyond_luma(picture, truth, luma) == pytest.approx([16 / 25])


def test_luma_correlation(night):
    luma, truth, *_ = night
    assert luma_correlation(luma, luma) == pytest.approx([1, 1])
    assert luma_correlation(255 - luma, luma) == pytest.approx([-1, -1])
    assert np.abs(luma_correlation(truth, luma)).max() < 0.3
    assert luma_correlation(truth * 0 + 9, luma).tolist() == [0, 0]


def test_contrasts_and_their_order():
    picture = np.zeros((3, 8, 8))
    inside, around = np.zeros((3, 8, 8), bool), np.zeros((3, 8, 8), bool)
    inside[:2, :2], around[:, 4:] = True, True
    inside[2, 0, :3] = True  # three pixels are no region
    picture[0, :2], picture[1, :2] = 20, -5
    found = contrast(picture, inside, around)
    assert found[:2].tolist() == [20, -5] and np.isnan(found[2])
    kept = order_kept(np.array([3.0, -1.0, 5.0, np.nan, 0.0]), np.array([20.0, 20.0, 7.9, 20.0, -20.0]))
    assert kept[[0, 1, 4]].tolist() == [1, 0, 0] and np.isnan(kept[[2, 3]]).all()


def test_error_in_a_region_by_hand():
    truth, region = np.full((2, 6, 6), 100.0), np.zeros((2, 6, 6), bool)
    region[0, :4], region[1, 0] = True, True  # 24 pixels, and 6: too few
    picture = truth.copy()
    picture[0, :2] += 6
    picture[0, 2:4] -= 2
    picture[0, 5] += 90
    error, bias = region_error(picture, truth, region)
    assert (error[0], bias[0]) == (4, 2) and np.isnan([error[1], bias[1]]).all()


def test_verdicts_need_the_whole_interval():
    limit = Limit(least=0.5, most=2)
    assert (
        limit.verdict(1, 0.6, 1.9) == "passes" and limit.verdict(1, 0.4, 1.9) == limit.verdict(1, 0.6, 2.1) == "unsure"
    )
    assert limit.verdict(0.2, 0.1, 0.4) == limit.verdict(3, 2.5, 4) == "fails"
    assert limit.verdict(1) == "passes" and limit.verdict(0.1) == "fails" and limit.verdict(None) is None


def test_arrays_that_do_not_match_are_refused(night):
    luma, truth, people, ground, _ = night
    for call in (
        lambda: edge_agreement(truth[:1], truth),
        lambda: luma_correlation(truth[0], luma[0]),
        lambda: beyond_luma(truth, truth, luma[:, :9]),
        lambda: beyond_luma(truth, truth, luma.astype(float)),
        lambda: lamp_leak(truth, truth, luma[:1]),
        lambda: contrast(truth, people[:1], ground),
        lambda: region_error(truth, truth, people[0]),
    ):
        with pytest.raises(ValueError, match=r"shape|uint8"):
            call()
