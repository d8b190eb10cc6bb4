"""Intervals cover as often as they say, and pairing takes the common scatter out."""

import numpy as np
import pytest

from v2ir_lib.metrics.intervals import bootstrap_interval, mean_per_group, paired_interval


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    samples = [rng.exponential(2.0, 60) for _ in range(200)]
    covered = np.mean([i.low < 2.0 < i.high for i in (bootstrap_interval(s, seed=1, draws=400) for s in samples)])
    assert 0.88 < covered < 0.99


def test_width_is_that_of_the_standard_error():
    values = np.random.default_rng(0).normal(10, 3, 400)
    interval = bootstrap_interval(values, seed=0)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_seed_decides_the_bounds():
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_pairing_removes_what_both_share():
    rng = np.random.default_rng(0)
    scene = rng.normal(15, 5, 200)  # easy and hard scenes
    ours, theirs = scene + 0.5 + rng.normal(0, 0.2, 200), scene
    paired = paired_interval(ours, theirs, seed=0)
    assert 0.4 < paired.low < 0.5 < paired.high < 0.6
    unpaired = bootstrap_interval(ours, seed=0)
    assert paired.high - paired.low < (unpaired.high - unpaired.low) / 10


def test_groups_are_averaged_first():
    assert mean_per_group([1, 3, 10], ["b", "b", "a"]).tolist() == [10, 2]


@pytest.mark.parametrize("values", [[], [1.0, float("inf")], [[1.0]]])
def test_values_without_an_interval_are_refused(values):
    with pytest.raises(ValueError, match="finite"):
        bootstrap_interval(values, seed=0)
    with pytest.raises(ValueError, match="as many"):
        paired_interval([1, 2], [1], seed=0)
