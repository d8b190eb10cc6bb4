"""Differences whose verdict is known beforehand; intervals computed by hand."""

import numpy as np
import pytest

from v2ir_lib.evaluation.ablations.records import DIGITS, groups_of, kinds_of, packed, unpacked
from v2ir_lib.evaluation.ablations.report import compare, difference, neighbours, order, rows_of, student_interval
from v2ir_lib.evaluation.paper_tables import Printed

rng = np.random.default_rng(0)
SCENES = rng.normal(19, 2, 60)  # how hard each scene is, which every row shares


def runs(*gains: float, noise: float = 0.2, seed: int = 1) -> np.ndarray:
    """Scores (S, 60) of one row: each seed is that much better, and every score has its own noise."""
    own = np.random.default_rng(seed)
    return np.stack([SCENES + gain + own.normal(0, noise, 60) for gain in gains])


def records(row: str, scores: np.ndarray, seeds=None) -> list[dict]:
    kinds = kinds_of({"all": np.arange(60), "night": np.arange(20)}, 60)
    base = {"row": row, "about": row, "flags": {}, "guidance": None, "stages": [], "seconds": 1.0, "fd_tiny": None}
    return [
        base
        | {"seed": seed, "scenes": {"kinds": kinds}}
        | {"scores": {metric: packed(one, digits) for metric, digits in DIGITS.items()}}
        for seed, one in zip(seeds or range(len(scores)), scores, strict=True)
    ]


def test_students_interval_by_hand():
    low, high = student_interval(np.array([1.0, 2.0, 3.0]))  # 2 ± 4.3027 · 1 / √3
    assert (low, high) == pytest.approx((-0.484138, 4.484138), abs=1e-5)
    assert student_interval(np.array([1.0])) is None


@pytest.mark.parametrize(
    "gains, verdict",
    [
        ((1.0, 1.1, 0.9), "higher"),
        ((-1.0, -1.1, -0.9), "lower"),
        ((0.0, 0.0, 0.0), "not told apart"),
        ((1.5, 0.1, -0.2), "within the spread over seeds"),  # scenes agree, trainings do not
        ((1.0,), "one seed"),
        ((0.0,), "not told apart"),
    ],
)
def test_the_verdict_needs_scenes_and_seeds(gains, verdict):
    found = difference(runs(*gains, seed=5), runs(*[0.0] * len(gains), seed=8))
    assert found["verdict"] == verdict
    assert found["by_seed"] == pytest.approx(gains, abs=0.1)
    assert found["mean"] == pytest.approx(np.mean(gains), abs=0.06)


def test_a_difference_is_paired_by_scene():
    """Scenes differ by 2 dB, the rows by 0.3: unpaired intervals of this size could not tell."""
    found = difference(runs(0.3, 0.3, 0.3, seed=2), runs(0.0, 0.0, 0.0, seed=3))
    assert found["low"] > 0.2 and found["high"] - found["low"] < 0.15


def test_rows_are_compared_over_the_seeds_that_both_have():
    three, two = records("a", runs(1, 2, 3)), records("b", runs(0, 0, noise=0), seeds=(0, 2))
    [entry] = compare({"a": three, "b": two}, [("a", "b"), ("a", "missing")])
    assert entry["seeds"] == [0, 2] and entry["psnr"]["all"]["by_seed"] == pytest.approx([1, 3], abs=0.1)
    assert set(entry["psnr"]) == {"all"}
    [entry] = compare({"a": three, "b": two}, [("a", "b")], by_group=True)
    assert {name: value["n"] for name, value in entry["ssim"].items()} == {"all": 60, "night": 20}


def test_a_row_says_how_far_its_seeds_are_apart():
    [row] = rows_of({"a": records("a", runs(0, 1, 2, noise=0))})
    assert row["seeds"] == [0, 1, 2] and row["psnr"]["all"]["sd_over_seeds"] == pytest.approx(1, abs=1e-4)
    assert row["psnr"]["all"]["mean"] == pytest.approx(SCENES.mean() + 1, abs=1e-3)
    assert row["psnr"]["night"]["mean"] == pytest.approx(SCENES[:20].mean() + 1, abs=1e-3)
    assert (row["psnr"]["all"]["n"], row["psnr"]["night"]["n"]) == (60, 20), "the interval is over scenes"
    assert rows_of({"a": records("a", runs(0))})[0]["psnr"]["all"]["sd_over_seeds"] is None


def test_fd_tiny_has_a_spread_over_seeds_and_no_interval_over_scenes():
    both = {name: records(name, runs(0, 0, 0)) for name in "ab"}
    for name, values in (("a", (2.0, 3.0, 4.0)), ("b", (1.0, 1.0, 1.0))):
        for record, value in zip(both[name], values, strict=True):
            record["fd_tiny"] = value
    assert rows_of(both)[0]["fd_tiny"] == {"mean": 3.0, "by_seed": [2.0, 3.0, 4.0], "sd_over_seeds": 1.0}
    [entry] = compare(both, [("a", "b")])
    assert entry["fd_tiny"]["mean"] == 2 and entry["fd_tiny"]["over_seeds"] == pytest.approx([-0.4841, 4.4841])
    both["b"][0]["fd_tiny"] = None
    assert compare(both, [("a", "b")])[0]["fd_tiny"] is None


def test_the_order_of_rows_is_kendalls_tau():
    known = {name: records(name, runs(gain, noise=0)) for name, gain in (("1", 0), ("2", 1), ("3", 3), ("4", 2))}
    printed = {name: Printed(0, value, value / 30) for name, value in (("1", 10), ("2", 11), ("3", 12), ("4", 13))}
    found = order(known, printed)  # of six pairs one is the other way: (5 − 1) / 6
    assert found["psnr"]["tau"] == pytest.approx(4 / 6, abs=1e-4) and found["ssim"]["rows"] == 4
    assert order({"1": known["1"]}, printed) == {}


def test_scores_and_groups_come_back_from_a_record():
    assert unpacked(packed([0.5, -0.25, 0.33333], 4), 4) == pytest.approx([0.5, -0.25, 0.3333], abs=1e-9)
    assert unpacked(packed([18.256, np.inf, -np.inf], 2), 2) == pytest.approx([18.26, 327.67, -327.67], abs=1e-9)
    with pytest.raises(ValueError, match="not a number"):
        packed([18.25, np.nan], 2)
    groups = {"all": np.arange(5), "fog": np.array([1, 4])}
    back = groups_of(kinds_of(groups, 5))
    assert all(np.array_equal(back[name], members) for name, members in groups.items())
    assert neighbours(["1", "2", "5"]) == [("2", "1"), ("5", "2")]
