"""Votes on polarity: who is found, who is not blamed, and when nobody can tell."""

import numpy as np
import pytest

from v2ir_lib.data.audit.polarity import INVERTED, NEIGHBOURS, detail_skewness, normalised, polarity_scores


def sequence(frames: int, turned=(), seed=0):
    """Fingerprints of a drifting scene; frames in `turned` are inverted in infrared."""
    rng = np.random.default_rng(seed)
    scene = rng.uniform(20, 235, (24, 32 + frames))
    visible, infrared, skewness = [], [], []
    for i in range(frames):
        seen = scene[:, i // 4 : i // 4 + 32]
        heat = np.clip(0.7 * seen[::-1] + 30 + rng.normal(0, 12, seen.shape), 0, 255)
        visible.append(seen)
        infrared.append(255 - heat if i in turned else heat)
        skewness.append(-1.0 if i in turned else 1.0)
    pictures = (np.array(values).astype(np.uint8) for values in (visible, infrared))
    return *pictures, np.array(skewness, np.float32)


def scores(frames, turned=(), groups=None, usable=None):
    usable = np.ones(frames, bool) if usable is None else usable
    return polarity_scores(groups or ["g"] * frames, *sequence(frames, turned), usable)


@pytest.mark.parametrize(
    "frames, turned", [(3, [1]), (5, [0, 4]), (12, [3]), (12, [1, 5, 6, 11]), (3 * NEIGHBOURS, [2, 40, 71])]
)
def test_exactly_the_inverted_frames_are_found(frames, turned):
    assert np.flatnonzero(scores(frames, turned) < INVERTED).tolist() == turned


def test_a_good_sequence_has_none():
    found = scores(20)
    assert np.all(found > 0.5)


def test_two_frames_cannot_tell_which():
    assert np.isnan(scores(2, [1])).all()
    assert np.isnan(scores(4, [1], groups=["a", "a", "b", "b"])).all()
    usable = np.array([True, True, False])
    assert np.isnan(scores(3, [1], usable=usable)).all()


def test_groups_do_not_vote_on_each_other():
    visible, infrared, skewness = (np.concatenate(parts) for parts in zip(sequence(4), sequence(4), strict=True))
    infrared[4:] = 255 - infrared[4:]  # a black-hot camera: consistent in itself
    found = polarity_scores(["white"] * 4 + ["black"] * 4, visible, infrared, skewness, np.ones(8, bool))
    assert np.all(found > 0)


def test_normalised_rows_multiply_to_correlations():
    prints = np.random.default_rng(1).integers(0, 256, (3, 24, 32), dtype=np.uint8)
    rows = normalised(prints)
    expected = np.corrcoef(prints.reshape(3, -1).astype(float))
    assert np.allclose(rows @ rows.T, expected, atol=1e-5)
    assert np.all(normalised(np.full((1, 24, 32), 9, np.uint8)) == 0)


def test_skewness_has_the_sign_of_the_small_things():
    picture = np.full((120, 160), 100, np.uint8)
    picture[40:46, 50:56] = 250
    assert detail_skewness(picture) > 2
    assert detail_skewness(200 - np.minimum(picture, 200)) < -2


def test_a_good_frame_is_not_blamed_for_voting_with_an_inverted_one():
    """Frame 0 looks like frame 2, which is inverted, and little like frame 1: alone, they would outvote it."""
    rng = np.random.default_rng(2)
    one, two = rng.uniform(60, 195, (2, 24, 32))
    visible = np.stack([one, 0.2 * one + 0.8 * two, one])
    infrared = np.stack([visible[0], visible[1], 255 - visible[2]])
    found = polarity_scores(
        ["g"] * 3, visible.astype(np.uint8), infrared.astype(np.uint8), np.float32([0.5, 0.5, -0.5]), np.ones(3, bool)
    )
    assert np.flatnonzero(found < INVERTED).tolist() == [2]
