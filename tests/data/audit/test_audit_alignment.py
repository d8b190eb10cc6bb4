"""Offsets: their size, their sign, their units, and when nothing can be said."""

import cv2
import numpy as np
import pytest

from v2ir_lib.data.audit.alignment import WINDOW, WORKING_SIDE, find_offset


def moved(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    return cv2.warpAffine(
        picture, np.float32([[1, 0, x], [0, 1, y]]), picture.shape[::-1], borderMode=cv2.BORDER_REPLICATE
    )


@pytest.mark.parametrize("x, y", [(0, 0), (6, 0), (0, -5), (-4.5, 3), (8, 7)])
@pytest.mark.parametrize("polarity", [1, -1])
def test_a_known_shift_is_found(view, x, y, polarity):
    """Right and down are positive, whatever is bright in infrared."""
    visible = view(3, 120, 160)
    infrared = visible if polarity > 0 else 255 - visible
    offset = find_offset(visible, moved(infrared, x, y))
    assert offset.x == pytest.approx(x, abs=0.5) and offset.y == pytest.approx(y, abs=0.5)
    assert offset.correlation > 0.6 and offset.clear


@pytest.mark.parametrize("visible_scale", [0.5, 2])
def test_offsets_are_in_visible_pixels(view, visible_scale):
    scene = view(4, 180, 240)
    visible = cv2.resize(scene, None, fx=visible_scale, fy=visible_scale, interpolation=cv2.INTER_AREA)
    offset = find_offset(visible, moved(scene, 8, 0))
    assert offset.x == pytest.approx(8 * visible_scale, abs=0.7 * visible_scale)
    assert offset.y == pytest.approx(0, abs=0.7 * visible_scale)


def test_a_shift_beyond_the_window_is_never_a_clear_small_one(view):
    """At the window's edge it may be: then it is at least so far."""
    for seed in range(10):
        visible = view(seed, 144, 192)
        offset = find_offset(visible, moved(visible, 1.5 * WINDOW * 192 / WORKING_SIDE, 0))
        assert not offset.clear or offset.x > 0.6 * WINDOW, offset


def test_noise_has_no_clear_offset(view):
    rng = np.random.default_rng(0)
    noise = [cv2.GaussianBlur(rng.integers(0, 256, (96, 128), dtype=np.uint8), (0, 0), 2) for _ in range(20)]
    assert sum(find_offset(view(seed), noise[seed]).clear for seed in range(20)) <= 1


def test_nothing_is_said_of_tiny_or_empty_pictures(view):
    assert find_offset(view(0)[:40, :50], view(0)[:40, :50]) is None
    assert find_offset(view(0), np.full((96, 128), 7, np.uint8)) is None
    assert find_offset(view(0, 20, 400), view(0, 20, 400)) is None
