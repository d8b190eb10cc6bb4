"""The reports on FD-tiny and on the shipped model, on scenes small enough to know what must come out."""

import json

import numpy as np
import pytest
import torch

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation import fd_validity
from v2ir_lib.evaluation.measuring import TRUTH, brief, distribution, lines, report_of, table
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.world import CLASS_INDEX


class Moments(torch.nn.Module):
    """In place of the tower: a picture's mean, deviation and roughness. All four distortions change one of them."""

    def __init__(self, side: int):
        super().__init__()
        self.config = type("Config", (), {"image_size": side})

    def forward(self, pictures):
        grey = pictures[:, 0]
        rough = (grey[:, 1:] - grey[:, :-1]).abs().mean((1, 2))
        return type("Output", (), {"image_embeds": torch.stack([grey.mean((1, 2)), grey.std((1, 2)), rough], dim=1)})


def scenes(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(60, 120, (count, 1, 1)) + rng.normal(0, 20, (count, 12, 12))).clip(0, 255).astype(np.uint8)


def test_distortions_are_what_they_say():
    truth, other = scenes(20, 0), 255 - scenes(20, 0)
    made = fd_validity.distortions(truth, {"swapped_camera": other}, seed=3)
    for steps, make in made.values():
        assert (make(steps[0]) == truth).all(), "the first step does no harm"
    assert made["blur"][1](2.0).std() < truth.std() < made["noise"][1](40.0).std()
    swapped = [(made["swapped_camera"][1](share) == other).all((1, 2)) for share in (0.25, 0.5, 1.0)]
    assert [int(taken.sum()) for taken in swapped] == [5, 10, 20] and swapped[1][swapped[0]].all()


def test_a_network_that_sees_is_told_from_one_that_does_not():
    truth, real = scenes(512, 0), scenes(512, 1)
    others = {"wrong_band": 255 - truth}
    found = fd_validity.measure(Moments(12), truth, others, real, seed=0)
    assert list(found["distortions"]) == ["blur", "noise", "wrong_band"]
    first = found["distortions"]["blur"]["steps"][0]
    assert first["step"] == 0 and first["fd_tiny_same_scenes"] == 0 and first["kid_tiny_small_same_scenes"]["n"] == 64
    assert found["distortions"]["blur"]["rises"]["fd_tiny_same_scenes"]
    assert found["distortions"]["wrong_band"]["rises"]["kid_tiny_same_scenes"]

    class Mean(Moments):
        def forward(self, pictures):
            embeds = super().forward(pictures).image_embeds[:, :1].repeat(1, 2)
            return type("Output", (), {"image_embeds": embeds})

    blind = fd_validity.measure(Mean(12), truth, others, real, seed=0)["distortions"]
    assert not blind["noise"]["rises"]["fd_tiny_same_scenes"] or not blind["blur"]["rises"]["fd_tiny_same_scenes"]
    with pytest.raises(UserError, match="FD-tiny needs 512"):
        fd_validity.measure(Moments(12), truth[:511], others, real, seed=0)


@pytest.fixture
def report():
    rng = np.random.default_rng(0)
    truth = rng.integers(40, 200, (6, 20, 20)).astype(np.uint8)
    luma = rng.integers(0, 60, truth.shape).astype(np.uint8)
    classes = np.full(truth.shape, CLASS_INDEX["road"])
    classes[:, :5] = CLASS_INDEX["person"]
    truth[:, :5] = 230
    pictures = {"translation": truth - 4, "inverted grey": 255 - luma, TRUTH: truth}
    times = ["night", "night", "night", "day", "day", "day"]
    groups = {"all": np.arange(6), "night": np.arange(3)}
    return report_of(pictures, truth, luma, classes, times, groups, seed=0)


def test_every_method_has_every_number(report):
    night, whole = report["groups"]["night"], report["groups"]["all"]
    assert night["scenes"] == 3 and whole["metrics"]["translation"]["people_order"]["n"] == 3
    assert whole["metrics"]["translation"]["psnr"]["mean"] == pytest.approx(20 * np.log10(255 / 4), abs=1e-3)
    assert whole["metrics"][TRUTH]["psnr"]["mean"] == "Infinity"
    assert list(night["translation_minus"]) == ["inverted grey"]
    assert night["translation_minus"]["inverted grey"]["psnr"]["low"] > 10
    assert {one["verdict"] for one in report["checks"][TRUTH].values()} == {"passes", None}, (
        "no sky, no lamp: no verdict"
    )
    assert report["checks"]["inverted grey"]["beyond_luma"]["verdict"] == "fails"
    assert report["classes"]["translation"]["person"]["bias"] == {"mean": -4, "low": -4, "high": -4, "n": 6}
    assert TRUTH not in night["metrics"], "perfect by definition: once is enough"


def test_the_committed_file_is_as_it_would_be_written(report, tmp_path):
    path = repo_root() / "results" / "measuring.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    write_json(tmp_path / "measuring.json", written)
    assert (tmp_path / "measuring.json").read_text(encoding="utf-8") == path.read_text(encoding="utf-8")
    assert brief(written) == written and brief(report) == report
    assert path.stat().st_size < 92_000, "the tree has little room left"


def test_few_scenes_have_kid_and_no_fd(report):
    truth = scenes(16, 0)
    found = distribution(Moments(12), {"translation": 255 - truth}, truth, scenes(512, 1), seed=0)
    assert found["translation"]["fd_tiny"] is None and found["other real scenes"]["kid_tiny"]["n"] == 16
    assert distribution(Moments(12), {}, truth[:15], truth, seed=0) == {}
    text = lines(report | {"methods": ["translation", "inverted grey", TRUTH], "distribution": found})
    assert "KID-tiny" in text[-1]
    [beyond] = table(report | {"methods": ["translation", "inverted grey", TRUTH]}, ["beyond_luma"])[1:]
    assert beyond.split()[0] == "beyond_luma" and beyond.split()[-4:] == ["✗", "1.00", "✓", "6"]
    assert sum("∞" in line for line in text) == 2, "PSNR of the truth, plain and aligned"
