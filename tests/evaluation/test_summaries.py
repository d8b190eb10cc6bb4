"""Means over scenes by hand, infinities and gaps as JSON, paired differences."""

import json

import numpy as np
import pytest

from v2ir_lib.evaluation.summaries import checks_of, classes_of, difference, differences_of, metrics_of, over_scenes

SCENES = ["b", "a", "a", "c"]


def test_scenes_count_once_and_gaps_are_left_out():
    entry = over_scenes([1, 2, 6, np.nan], SCENES, seed=0)
    assert (entry["mean"], entry["n"], entry["pictures"]) == (2.5, 2, 3)  # (1 + (2 + 6) / 2) / 2
    assert 1 <= entry["low"] < 2.5 < entry["high"] <= 4
    empty = over_scenes([np.nan] * 4, SCENES, seed=0)
    assert empty == {"mean": None, "low": None, "high": None, "n": 0, "level": 0.95, "pictures": 0}


@pytest.mark.parametrize("value, text", [(np.inf, "Infinity"), (-np.inf, "-Infinity")])
def test_infinity_is_text_that_numbers_are_read_from(value, text):
    entry = over_scenes([1, value, 3, 4], SCENES, seed=0)
    assert entry["mean"] == text and entry["low"] is entry["high"] is None and float(text) == value
    json.dumps(entry, allow_nan=False)


def test_a_difference_is_paired():
    rng = np.random.default_rng(0)
    hard = rng.normal(20, 5, 50)
    entry = difference(hard + 1, hard, range(50), seed=0)
    assert entry["mean"] == entry["low"] == entry["high"] == 1
    assert difference([np.inf, np.inf, 3, np.nan], [np.inf, 4, 2, 1], range(4), 0)["mean"] == "Infinity"
    assert difference([np.inf, 3, np.nan], [np.inf, 2, 1], range(3), 0) == over_scenes([0, 1], range(2), 0)


def test_tables_have_what_was_asked_in_a_fixed_order():
    scores = {
        "luma_correlation": np.array([-0.5, -0.3]),
        "psnr": np.array([20.0, 22.0]),
        "beyond_luma": np.array([0.5, 0.7]),
        "error person": np.array([3.0, np.nan]),
        "bias person": np.array([-1.0, np.nan]),
        "error bus": np.array([np.nan, np.nan]),
        "bias bus": np.array([np.nan, np.nan]),
    }
    metrics = metrics_of(scores, range(2), seed=0)
    assert list(metrics) == ["psnr", "luma_correlation", "beyond_luma"]
    assert list(differences_of(scores, scores, range(2), 0)) == ["psnr", "beyond_luma"], "a correlation has no better"
    assert checks_of(metrics) == {"beyond_luma": {"verdict": "passes", "least": 0.1, "most": None}}
    classes = classes_of(scores, range(2), 0)
    assert (
        list(classes) == ["person"] and classes["person"]["error"]["mean"] == 3 and classes["person"]["bias"]["n"] == 1
    )
