"""Probes on features whose answer is known by construction."""

import numpy as np
import pytest

from v2ir_lib.evaluation.linear_probe import balanced_accuracy, fit, fit_all, fold_of, intervals


def blobs(count: int, classes: int, width: int, signal: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise of unit variance, and `signal` standard deviations of class in as many features; classes of any size."""
    rng = np.random.default_rng(seed)
    share = np.arange(1, classes + 1) / np.arange(1, classes + 1).sum()
    labels = rng.choice(classes, count, p=share)
    features = rng.normal(0, 1, (count, width))
    features[np.arange(count), labels] += signal
    return features, np.array([f"class {label}" for label in labels])


def test_what_is_there_is_read_and_what_is_not_is_chance():
    x, y = blobs(600, 3, 20, 8.0, 0)
    test_x, test_y = blobs(300, 3, 20, 8.0, 1)
    assert balanced_accuracy(test_y, fit([x], y, np.arange(600)).predict(test_x)) > 0.99
    noise, test_noise = (np.random.default_rng(seed).normal(0, 1, (n, 20)) for seed, n in ((2, 600), (3, 300)))
    assert balanced_accuracy(test_y, fit([noise], y, np.arange(600)).predict(test_noise)) == pytest.approx(
        1 / 3, abs=0.1
    )


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    """Two overlapping Gaussians, 1 in 20: the fair threshold is half-way, where both recalls are Φ(1)."""
    rng = np.random.default_rng(0)
    y = (np.arange(8000) % 20 == 0).astype(int)
    x = (rng.normal(0, 1, 8000) + 2 * y)[:, None]
    answers = fit([x], y, np.arange(8000)).predict(x)
    recalls = [np.mean(answers[y == one] == one) for one in (0, 1)]
    assert recalls == pytest.approx([0.8413, 0.8413], abs=0.05)


def test_units_and_constants_do_not_matter():
    x, y = blobs(300, 2, 6, 1.5, 0)
    expected = fit([x], y, np.arange(300)).predict(x)
    other = np.concatenate([x * 10.0 ** np.arange(-3, 3) + 1e3, np.full((300, 2), 7.0)], axis=1)
    assert np.array_equal(fit([other], y, np.arange(300)).predict(other), expected)


def test_the_closed_form_is_the_minimum():
    """Against the normal equations with an intercept column, written out."""
    x, y = blobs(80, 3, 5, 1.0, 0)
    [probe] = fit_all(x, y, [0.3])
    z = (x - x.mean(0)) / x.std(0)
    target = (y[:, None] == np.unique(y)).astype(float)
    weight = 1 / (3 * np.array([np.sum(y == one) for one in y]))
    design = np.concatenate([z, np.ones((80, 1))], axis=1)
    penalty = np.diag([0.3] * 5 + [0.0])
    solution = np.linalg.solve(design.T @ (weight[:, None] * design) + penalty, design.T @ (weight[:, None] * target))
    np.testing.assert_allclose(probe.weights, solution[:5], atol=1e-10)
    np.testing.assert_allclose(probe.offset, solution[5], atol=1e-10)


def test_no_scene_is_on_both_sides():
    groups = np.repeat(np.arange(23), 4)
    fold = fold_of(groups, 5, seed=0)
    assert all(len(set(fold[groups == group])) == 1 for group in range(23)) and set(fold) == set(range(5))
    assert not np.array_equal(fold, fold_of(groups, 5, seed=1))
    with pytest.raises(ValueError, match="4 scenes cannot be divided into 5"):
        fold_of(np.arange(4), 5, seed=0)


def test_the_penalty_is_chosen_on_scenes_left_out():
    """Frames of a scene are copies, and more features than scenes fit any label: only whole scenes left out tell."""
    rng = np.random.default_rng(0)
    scenes, y = rng.normal(0, 1, (60, 80)), np.arange(60) % 2
    scenes[:, 0] += 1.5 * y
    x, labels, groups = np.repeat(scenes, 5, axis=0), np.repeat(y, 5), np.repeat(np.arange(60), 5)
    honest, fooled = fit([x], labels, groups), fit([x], labels, np.arange(300), penalties=(1e-3, 1e2))
    assert honest.penalty > 1e-3
    assert balanced_accuracy(labels, fit_all(x, labels, [1e-3])[0].predict(x)) == 1.0
    again = rng.normal(0, 1, (4000, 80))
    truth = np.arange(4000) % 2
    again[:, 0] += 1.5 * truth
    assert balanced_accuracy(truth, honest.predict(again)) >= balanced_accuracy(truth, fooled.predict(again))


def test_a_block_of_noise_does_not_drown_a_block_that_says_it_all():
    rng = np.random.default_rng(0)
    x, y = blobs(120, 2, 2, 2.5, 0)
    test_x, test_y = blobs(2000, 2, 2, 2.5, 1)
    noise, test_noise = rng.normal(0, 1, (120, 300)), rng.normal(0, 1, (2000, 300))
    alone = balanced_accuracy(test_y, fit([x], y, np.arange(120)).predict(test_x))
    theirs = np.concatenate([test_noise, test_x], axis=1)
    beside = balanced_accuracy(test_y, fit([noise, x], y, np.arange(120)).predict(theirs))
    drowned = balanced_accuracy(test_y, fit([np.concatenate([noise, x], axis=1)], y, np.arange(120)).predict(theirs))
    assert alone > 0.9 and beside > drowned + 0.05


def test_two_blocks_read_what_neither_does_alone():
    """The class is which of two numbers is larger; each block knows one of them."""
    rng = np.random.default_rng(0)
    common = rng.normal(0, 5, 900)
    y = np.arange(900) % 2
    blocks = [(common + rng.normal(0, 0.2, 900))[:, None], (common + 2 * y + rng.normal(0, 0.2, 900))[:, None]]
    train, test = np.arange(600), np.arange(600, 900)
    one = [balanced_accuracy(y[test], fit([b[train]], y[train], train).predict(b[test])) for b in blocks]
    both = fit([b[train] for b in blocks], y[train], train).predict(np.concatenate(blocks, axis=1)[test])
    assert max(one) < 0.65 and balanced_accuracy(y[test], both) > 0.97


def test_balanced_accuracy_by_hand():
    true = np.array(["a", "a", "a", "a", "b", "b", "c"])
    assert balanced_accuracy(true, np.array(["a", "a", "a", "b", "b", "c", "c"])) == pytest.approx((0.75 + 0.5 + 1) / 3)
    assert balanced_accuracy(true, np.full(7, "a")) == pytest.approx(1 / 3), "the majority, however large"


def test_intervals_hold_the_truth_as_often_as_they_say():
    """An answer that is right with probability 0.7 in one class and 0.9 in the other: 0.8 on average."""
    rng, inside = np.random.default_rng(0), 0
    for run in range(100):
        true = np.arange(200) % 2
        right = rng.random(200) < np.where(true == 0, 0.7, 0.9)
        found = intervals(true, {"x": np.where(right, true, 1 - true)}, np.arange(200), seed=run, draws=400)["x"]
        inside += found.low <= 0.8 <= found.high
    assert 88 <= inside <= 100 and found.n == 200


def test_scenes_are_drawn_not_frames():
    """Ten frames of a scene, all right or all wrong, are one piece of evidence and not ten."""
    rng = np.random.default_rng(0)
    true = np.repeat(np.arange(40) % 2, 10)
    answer = np.where(np.repeat(rng.random(40) < 0.7, 10), true, 1 - true)
    scenes = intervals(true, {"x": answer}, np.repeat(np.arange(40), 10), draws=1000)["x"]
    frames = intervals(true, {"x": answer}, np.arange(400), draws=1000)["x"]
    assert scenes.n == 40 and scenes.mean == frames.mean
    assert (scenes.high - scenes.low) / (frames.high - frames.low) == pytest.approx(np.sqrt(10), rel=0.15)


def test_a_difference_is_paired():
    """Two answers that differ on a tenth of the rows: their scores scatter, the difference hardly does."""
    rng = np.random.default_rng(0)
    true = np.arange(400) % 2
    worse = np.where(rng.random(400) < 0.6, true, 1 - true)
    better = np.where(rng.random(400) < 0.2, true, worse)
    found = intervals(true, {"a": better, "b": worse}, np.arange(400), [("a", "b")], draws=1000)
    gain = found["a minus b"]
    assert gain.mean == pytest.approx(found["a"].mean - found["b"].mean) and 0 < gain.low < gain.mean < gain.high
    assert gain.high - gain.low < found["a"].high - found["a"].low
    assert intervals(true, {"a": true, "b": true}, np.arange(400), [("a", "b")])["a minus b"].high == 0
