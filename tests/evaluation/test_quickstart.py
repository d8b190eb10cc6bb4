"""The comparison's arithmetic on answers whose scores are known."""

import csv

import numpy as np
import pytest

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation import photographs, quickstart
from v2ir_lib.evaluation.quickstart import choose_guidance, compare


def noisy(truth: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    return np.clip(truth + np.random.default_rng(seed).normal(0, sigma, truth.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(0).integers(60, 190, (12, 16, 16)).astype(np.uint8)


def test_compare_names_the_best_baseline_of_each_group_and_the_gain_over_it(truth):
    pictures = {"translation": noisy(truth, 5, 1), "grey": noisy(truth, 10, 2), "inverted grey": noisy(truth, 40, 3)}
    pictures["autoencoder (ceiling)"] = noisy(truth, 2, 4)
    pictures["inverted grey"][:4] = noisy(truth[:4], 7, 5)  # the better one in the first group only
    groups = {"all": np.arange(12), "night": np.arange(4), "day": np.arange(4, 12)}
    report = compare(pictures, truth, groups, seed=0)
    assert {name: report[name]["scenes"] for name in groups} == {"all": 12, "night": 4, "day": 8}
    for metric in ("psnr", "ssim"):
        gains = {name: report[name][metric]["translation minus best baseline"] for name in groups}
        assert gains["night"]["baseline"] == "inverted grey" and gains["day"]["baseline"] == "grey"
        for name, gain in gains.items():
            entry = report[name][metric]
            difference = entry["translation"]["mean"] - entry[gain["baseline"]]["mean"]
            assert gain["mean"] == pytest.approx(difference, abs=2e-4) and 0 < gain["low"] < gain["high"]
    assert report["all"]["psnr"]["translation"]["mean"] == pytest.approx(20 * np.log10(255 / 5), abs=0.5)


def test_the_ceiling_is_no_baseline(truth):
    pictures = {"translation": noisy(truth, 9, 1), "grey": noisy(truth, 20, 2), "autoencoder (ceiling)": truth + 1}
    report = compare(pictures, truth, {"all": np.arange(12)}, seed=0)
    assert report["all"]["psnr"]["translation minus best baseline"]["baseline"] == "grey"


def test_guidance_is_chosen_by_psnr_scales_before_steps(truth, monkeypatch):
    """An answer that is best at s_text = 3 and 20 steps; the choice must find just that, on the scenes it may see."""
    seen = []

    def translate(pipeline, scenes, guidance, seed, count):
        seen.append((guidance["s_text"], guidance["s_visible"], guidance["steps"]))
        error = 4 + abs(guidance["s_text"] - 3) + guidance["s_visible"] + 10 / guidance["steps"]
        return noisy(truth[:count], error, 1)

    monkeypatch.setattr(quickstart, "translate", translate)
    scenes = type("Scenes", (), {"infrared": truth})
    chosen = choose_guidance(None, scenes, seed=0, count=8)
    assert chosen["chosen"] == {"s_text": 3.0, "s_visible": 1.0, "s_segments": 1.0, "steps": 20}
    assert len(seen) == len(chosen["tried"]) == 7 and {steps for _, _, steps in seen[:6]} == {10}
    assert "8 validation scenes" in chosen["rule"]


def test_photographs_of_one_scene_count_once(tmp_path):
    path = tmp_path / "manifest.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["id", "scene"], ["a", "street"], ["b", "street"], ["c", "park"]])
    assert photographs._scenes(path, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]) == ["street", "street", "park", "d"]
    assert photographs._scenes(tmp_path / "none.csv", ["a.jpg"]) == ["a"]


def test_photographs_are_compared_at_their_own_size(tmp_path, monkeypatch):
    """A command that answers the truth darkened by 30, with a little noise: aligned, only the noise is left."""
    from PIL import Image

    (tmp_path / "visible").mkdir()
    (tmp_path / "infrared").mkdir()
    rng = np.random.default_rng(0)
    truths = {}
    for name, shape in (("a", (20, 30)), ("b", (24, 18))):
        truths[name] = rng.integers(40, 255, shape).astype(np.uint8)
        Image.fromarray(rng.integers(0, 255, (*shape, 3)).astype(np.uint8)).save(tmp_path / "visible" / f"{name}.jpg")
        Image.fromarray(truths[name]).save(tmp_path / "infrared" / f"{name}.png")

    def command(visible, out, model, seed):
        out.mkdir(parents=True, exist_ok=True)
        for name, truth in truths.items():
            Image.fromarray((truth - 30 + rng.integers(0, 3, truth.shape)).astype(np.uint8)).save(out / f"{name}.png")
        return {"seconds_per_image": 0.5, "load_seconds": 1, "peak_memory_bytes": 2e9, "skipped": {}}

    monkeypatch.setenv("V2IR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(photographs, "run_command", command)
    monkeypatch.setattr(photographs, "pipeline_hash", lambda model: "0" * 64)
    report = photographs.translate_photographs(tmp_path / "visible", tmp_path, tmp_path / "figure.png", seed=0)
    assert report["photographs"] == report["compared"] == report["scenes"] == 2
    assert report["seconds_per_image"] == 0.5 and report["peak_memory_gb"] == 2.0
    assert report["psnr"]["translation"]["mean"] == pytest.approx(20 * np.log10(255 / 29), abs=0.1)
    assert report["psnr_aligned"]["translation"]["mean"] > report["psnr"]["translation"]["mean"] + 20
    assert report["ssim"]["translation"]["mean"] > 0.9 > 0.2 > report["ssim"]["inverted grey"]["mean"]
    assert (tmp_path / "figure.png").is_file()


def test_photographs_that_may_be_shown_are_drawn(tmp_path, monkeypatch):
    from PIL import Image

    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((40, 100, 3), 200, np.uint8)).save(tmp_path / "in" / "wide.png")
    Image.fromarray(np.full((90, 60, 3), 30, np.uint8)).save(tmp_path / "in" / "tall.png")

    def command(visible, out, model, seed):
        out.mkdir(parents=True)
        for path in visible.iterdir():
            Image.open(path).convert("L").save(out / path.name)

    monkeypatch.setenv("V2IR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(photographs, "run_command", command)
    monkeypatch.setattr(photographs, "pipeline_hash", lambda model: "0" * 64)
    photographs.draw_photographs(tmp_path / "in", tmp_path, tmp_path / "sheet.jpg")
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.format == "JPEG" and sheet.width > 500
    assert photographs._middle(np.zeros((40, 100, 3))).shape == (40, 40, 3)
    assert photographs._middle(np.zeros((90, 60, 3))).shape == (60, 60, 3)
    with pytest.raises(UserError, match="no pictures in"):
        photographs.draw_photographs(tmp_path / "cache", tmp_path, tmp_path / "sheet.jpg")
