"""The sampling experiment's arithmetic, on pictures whose errors are known."""

import json

import numpy as np
import pytest

from v2ir_lib.diffusion.settings import SAMPLERS
from v2ir_lib.evaluation import sampling_curve
from v2ir_lib.evaluation.sampling_curve import RECIPE, ROWS, Judge, Row, compare, equal, lines, needed

COUNT, CONFIRMING = 40, 34


@pytest.fixture
def scenes(monkeypatch):
    """True pictures, and in place of the tower a few statistics of each picture."""

    def statistics(_tower, pictures):
        pictures = np.asarray(pictures, dtype=float) / 255
        return np.stack([pictures.mean((1, 2)), pictures.std((1, 2)), pictures[:, ::2].std((1, 2))], axis=1)

    monkeypatch.setattr(sampling_curve, "tiny_tower", lambda: None)
    monkeypatch.setattr(sampling_curve, "tiny_features", statistics)
    rng = np.random.default_rng(0)
    truth = rng.integers(60, 190, (COUNT + CONFIRMING, 1, 1)) + rng.integers(-40, 40, (COUNT + CONFIRMING, 16, 16))
    return type("Scenes", (), {"infrared": truth.astype(np.uint8)})


def noisy(truth, sigma, seed=0):
    return np.clip(truth + np.random.default_rng(seed).normal(0, sigma, truth.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def unet(pipeline):
    """The random pipeline with the shipped model's scales; two branches have a weight there."""
    assert (pipeline.config.s_text, pipeline.config.s_visible, pipeline.config.s_segments) == (1.5, 1.5, 1.5)
    return pipeline


def test_evaluations_count_branches_and_heuns_second_calls(unet):
    def count(*row):
        return needed(unet, Row(*row).settings(unet))

    assert count("euler-ancestral", 100) == 200 == needed(unet, RECIPE.settings(unet))
    assert count("dpm++2m", 10) == 20 and count("dpm++2m", 10, "never") == 10
    assert count("heun", 5) == 18
    assert 10 < count("dpm++2m", 10, "interval") < 20


def test_all_rows_are_ways_to_sample_and_none_is_there_twice(unet):
    assert len(set(ROWS)) == len(ROWS) and {row.sampler for row in ROWS} == set(SAMPLERS)
    counts = [needed(unet, row.settings(unet)) for row in ROWS]
    assert min(counts) <= 10 and max(counts) <= 40


def test_the_fewest_that_are_equal_are_found_and_confirmed(unet, scenes, monkeypatch):
    """By construction: five steps are too few, ten and twenty as good as the recipe; no guidance shifts grey."""
    asked = []

    def translate(pipeline, some, settings, seed, count):
        asked.append((settings["steps"], seed, count))
        unguided = settings["s_text"] == 1
        sigma = 14 if settings["steps"] < 10 else 10
        pictures = noisy(some.infrared, sigma, 0).astype(int)
        if settings["steps"] != RECIPE.steps:  # the recipe's errors mirrored: as large, and never the same picture
            pictures = 2 * some.infrared.astype(int) - pictures
        return (pictures[:count] + (6 if unguided else 0)).clip(0, 255).astype(np.uint8)

    monkeypatch.setattr(sampling_curve, "translate", translate)
    rows = [Row("dpm++2m", 5), Row("dpm++2m", 10), Row("unipc", 20), Row("dpm++2m", 12, "never")]
    report = compare(unet, scenes, COUNT, CONFIRMING, 3, rows)
    assert [row["minus_recipe"]["equal"] for row in report["rows"]] == [False, True, True, False]
    assert report["fewest"] == {"sampler": "dpm++2m", "steps": 10, "guided": "always", "evaluations": 20}
    assert report["recipe"]["evaluations"] == 400 and report["recipe"]["with_branch_skip"] == 200
    assert report["confirmed"]["scenes"] == CONFIRMING
    (once,) = report["confirmed"]["tried"]
    assert once["minus_recipe"]["equal"] and once["steps"] == 10 and once["minus_recipe"]["psnr"]["n"] == CONFIRMING
    assert report["recipe"]["psnr"]["mean"] == pytest.approx(20 * np.log10(255 / 10), abs=0.2)
    worse = report["rows"][0]["minus_recipe"]["psnr"]
    assert worse["mean"] == pytest.approx(20 * np.log10(10 / 14), abs=0.2) and worse["n"] == COUNT
    assert [seed for steps, seed, _ in asked if steps == 100] == [3, 3 + sampling_curve.AGAIN.seed, 3]
    assert "20  dpm++2m" in lines(report)[3] and json.dumps(report)


def test_a_row_that_was_only_lucky_is_not_the_one(unet, scenes, monkeypatch):
    """By construction: eight steps are as good as the recipe on the scenes that choose, and on no others."""

    def translate(pipeline, some, settings, seed, count):
        pictures = noisy(some.infrared, 10)[:count]
        if settings["steps"] == 8:
            pictures[COUNT:] = noisy(some.infrared, 30)[COUNT:count]
        return pictures

    monkeypatch.setattr(sampling_curve, "translate", translate)
    report = compare(unet, scenes, COUNT, CONFIRMING, 0, [Row("dpm++2m", 8), Row("dpm++2m", 9), Row("dpm++2m", 10)])
    assert [row["minus_recipe"]["equal"] for row in report["rows"]] == [True, True, True]
    assert [row["minus_recipe"]["equal"] for row in report["confirmed"]["tried"]] == [False, True]
    assert report["fewest"]["steps"] == 9
    unlucky = compare(unet, scenes, COUNT, CONFIRMING, 0, [Row("dpm++2m", 8)])
    assert unlucky["fewest"] is None and len(unlucky["confirmed"]["tried"]) == 1


def test_none_is_equal(unet, scenes, monkeypatch):
    def translate(pipeline, some, settings, seed, count):
        return noisy(some.infrared[:count], 10 if settings["steps"] == 100 else 30)

    monkeypatch.setattr(sampling_curve, "translate", translate)
    report = compare(unet, scenes, COUNT, CONFIRMING, 0, [Row("heun", 5)])
    assert report["fewest"] is None and "confirmed" not in report


def test_fewer_evaluations_come_before_more_psnr():
    def row(count, decibels, equal):
        return {"evaluations": count, "psnr": {"mean": decibels}, "minus_recipe": {"equal": equal}}

    table = [row(40, 30, True), row(20, 20, True), row(10, 29, False), row(20, 21, True)]
    assert equal(table) == [table[3], table[1], table[0]] and equal(table[2:3]) == []


def test_pictures_of_another_kind_are_not_equal_though_their_error_is(scenes):
    """KID sees a set that is too smooth or too rough, where PSNR sees none of it."""
    truth = scenes.infrared[:COUNT]
    judge = Judge(truth, seed=0)
    honest = judge(noisy(truth, 10))
    flat = truth.mean(axis=(1, 2), keepdims=True)
    smooth = (truth + (flat - truth) * 0.42).astype(np.uint8)
    judged = judge(smooth)
    found = judged.minus(honest, seed=0)
    assert found["psnr"]["mean"] > -0.1 and found["kid_tiny"]["low"] > 0 and not found["equal"]
    assert honest.minus(honest, seed=0)["equal"]


def test_few_scenes_have_no_kid(scenes):
    judge = Judge(scenes.infrared[:6], seed=0)
    judged = judge(noisy(scenes.infrared[:6], 5))
    assert judged.kid is None and set(judged.report(0)) == {"psnr", "ssim"}
    assert judged.minus(judged, 0)["equal"]


def test_skipped_branches_are_compared_at_the_papers_scales(unet, scenes, monkeypatch):
    def translate(pipeline, some, settings, seed, count):
        return some.infrared[:count] + (0 if settings["how"].skip else 1)

    monkeypatch.setattr(sampling_curve, "translate", translate)
    found = sampling_curve.branch_skip(unet, scenes, 0)
    assert found["evaluations"] == [300, 400] and found["largest_difference"] == 1 == found["mean_difference"]
