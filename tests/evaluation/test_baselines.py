"""The trivial baselines on arrays made by hand."""

import numpy as np

from v2ir_lib.evaluation.baselines import grey, inverted_grey, mean_training_image, nearest_pair


def flat(*colours: tuple[int, int, int], side: int = 32) -> np.ndarray:
    return np.stack([np.full((side, side, 3), colour, np.uint8) for colour in colours])


def test_grey_weighs_colours_as_the_eye_does():
    levels = grey(flat((255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)))
    assert levels.dtype == np.uint8 and levels[:, 0, 0].tolist() == [76, 150, 29, 90]
    assert inverted_grey(flat((90, 90, 90)))[0, 0, 0] == 165


def test_grey_is_resized_first():
    picture = flat((0, 0, 0))
    picture[:, :, 16:] = 200
    small = grey(picture, size=8)
    assert small.shape == (1, 8, 8) and small[0, 4, 0] < 5 and small[0, 4, 7] > 195


def test_mean_image_is_the_rounded_mean_for_everyone():
    pictures = np.stack([np.full((4, 4), level, np.uint8) for level in (200, 250, 252)])  # would wrap in uint8
    answer = mean_training_image(pictures, 5)
    assert answer.shape == (5, 4, 4) and (answer == 234).all()


def test_nearest_pair_is_found_by_layout_and_light():
    rng = np.random.default_rng(0)
    training = rng.integers(0, 255, (6, 32, 32, 3)).astype(np.uint8)
    infrared = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((8, 8), np.uint8)
    noisy = np.clip(training[[4, 0, 5]].astype(int) + rng.normal(0, 20, (3, 32, 32, 3)), 0, 255).astype(np.uint8)
    assert nearest_pair(noisy, training, infrared)[:, 0, 0].tolist() == [4, 0, 5]
    mirrored = training[[4]][:, :, ::-1]
    assert nearest_pair(mirrored, training[[1, 4]], infrared[[1, 4]]).shape == (1, 8, 8)


def test_the_first_of_equals_is_taken():
    training = flat((10, 10, 10), (10, 10, 10), (99, 99, 99))
    infrared = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((4, 4), np.uint8)
    assert nearest_pair(flat((11, 11, 11)), training, infrared)[0, 0, 0] == 0
