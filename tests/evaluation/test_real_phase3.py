"""The study's arithmetic and its choices, on runs whose quality is known; the training itself is `v2ir train`'s."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation import real_phase3
from v2ir_lib.evaluation.real_phase3 import RATES, SCALES, STARTS, Study, baselines, choose, measure, per_scene
from v2ir_lib.records import Record, read_manifest, write_manifest

ERROR = {"random": 40, "base": 30, "after phase 1": 20, "after phase 2": 10}  # grey levels
BEST = (RATES[2], SCALES[0])


class Known(Study):
    """Runs that answer the truth, off by what is known of their start; the wrong settings add to it."""

    asked: ClassVar[list] = []
    weights: ClassVar[dict] = {"pipeline": "0"}

    def run(self, start, rates, seed):
        self.asked.append(("run", start, rates, seed))
        return (start, rates), {"loss": 0.5}

    def answers(self, pipeline, split, scale, seed):
        self.asked.append((split, scale))
        start, rates = pipeline
        off = ERROR[start] + seed + 5 * (rates != BEST[0]) + 5 * (scale != BEST[1])
        source = self.scenes(split)
        return [
            (source.infrared(i) + off * checks(source.infrared(i).shape)).astype(np.uint8) for i in range(len(source))
        ]


def checks(shape: tuple[int, int]) -> np.ndarray:
    """+1 and −1 in turn: an error that no gain and offset forgives."""
    return np.where(np.indices(shape).sum(axis=0) % 2, 1, -1)


@pytest.fixture
def study(tmp_path, monkeypatch) -> Known:
    rng = np.random.default_rng(0)
    rows = []
    for number, place in enumerate(["train a", "train b", "val c", "test d", "test d", "test e"]):
        split, scene = place.split()
        shape = (20 + number, 30)
        Image.fromarray(rng.integers(0, 255, (*shape, 3)).astype(np.uint8)).save(tmp_path / f"v{number}.png")
        Image.fromarray(rng.integers(60, 190, shape).astype(np.uint8)).save(tmp_path / f"i{number}.png")
        rows.append(
            Record(
                id=str(number),
                dataset="real",
                group=scene,
                split=split,
                visible=f"v{number}.png",
                infrared=f"i{number}.png",
            )
        )
    write_manifest(tmp_path / "pairs.csv", [*rows, replace(rows[-1], id="x", dataset="other")])
    monkeypatch.setattr(real_phase3, "repo_root", lambda: tmp_path)
    monkeypatch.setattr(Known, "asked", [])
    return Known(tmp_path / "pairs.csv", "real", 3, tmp_path)


def decibels(error: float) -> float:
    return 20 * np.log10(255 / error)


def test_settings_are_chosen_on_validation_pairs_alone(study):
    chosen = choose(study, "base")
    assert ((chosen["learning_rate"], chosen["first_rate"]), chosen["scale"]) == BEST
    assert len(chosen["tried"]) == len(RATES) * len(SCALES)
    assert {split for split, *_ in study.asked} == {"run", "val"}
    best = max(one["psnr"] for one in chosen["tried"])
    assert best == pytest.approx(decibels(ERROR["base"]), abs=1e-3)


def test_a_scene_of_two_pictures_counts_once(study):
    test = study.scenes("test")
    assert len(test) == 3, "and the other dataset's row is left out"
    answers = [test.infrared(0) + 10, test.infrared(1) + 20, test.infrared(2) + 30]
    found = per_scene(answers, test)
    assert found["psnr"] == pytest.approx([(decibels(10) + decibels(20)) / 2, decibels(30)], abs=1e-6)
    assert (found["psnr_aligned"] > 100).all(), "an offset is forgiven"


def test_the_report(study, tmp_path):
    report = measure(study, seeds=(0, 1))
    means = {name: one["mean"] for name, one in report["metrics"]["psnr"]["mean"].items()}
    for start, error in ERROR.items():  # the mean of the seeds' PSNR, seed 1 one level worse
        assert means[start] == pytest.approx((decibels(error) + decibels(error + 1)) / 2, abs=1e-3)
        assert [run["seed"] for run in report["runs"][start]] == [0, 1]
    gains = report["metrics"]["psnr"]["after phase 2 minus"]
    assert set(gains) == set(means) - {"after phase 2"}
    assert gains["random"]["verdict"] == "higher" and len(gains["random"]["by_seed"]) == 2
    assert gains["random"]["mean"] == pytest.approx(means["after phase 2"] - means["random"], abs=2e-4)
    assert report["metrics"]["ssim"]["mean"]["after phase 2"]["n"] == 2, "two scenes"
    assert report["pairs"] == {"train": 2, "val": 1, "test": 3}
    assert ("run", "random", BEST[0], 1) in study.asked and ("run", "random", RATES[0], 1) not in study.asked
    assert (tmp_path / "out/real_phase3.png").is_file()


def test_baselines_have_each_pictures_own_size(study):
    test = study.scenes("test")
    found = baselines(study)
    assert set(found) == {"grey", "inverted grey", "mean training image", "nearest training pair"}
    for name, answers in found.items():
        assert [one.shape for one in answers] == [test.infrared(i).shape for i in range(3)], name
    assert np.array_equal(found["grey"][0], 255 - found["inverted grey"][0])
    mean = np.mean([study.scenes("train").infrared(i).mean() for i in (0, 1)])
    assert found["mean training image"][0].mean() == pytest.approx(mean, abs=3)


def test_runs_of_other_settings_have_other_folders(study, monkeypatch):
    """What a run is kept under tells its start, rate, seed, steps and pairs."""
    seen = []
    monkeypatch.setattr(real_phase3, "train_phase", lambda name, options: seen.append(options) or {})
    monkeypatch.setattr(real_phase3.DiffV2IRPipeline, "from_pretrained", lambda folder: folder)
    for changed in ({}, {"start": "base"}, {"rates": (1e-3, 1.0)}, {"seed": 1}, {"rates": (2e-4, 10.0)}):
        Study.run(study, **({"start": "random", "rates": (2e-4, 1.0), "seed": 0} | changed))
    Study.run(replace(study, steps=4), "random", (2e-4, 1.0), 0)
    assert len({options.out for options in seen}) == 6 and [seen[4].learning_rate, seen[4].first_rate] == [2e-4, 10]
    assert seen[0].model == "random" and seen[1].model == str(study.models / STARTS["base"])
    assert {options.dataset for options in seen} == {"real"} and seen[5].steps == 4


def test_a_manifest_without_the_dataset_is_one_line(study):
    with pytest.raises(UserError, match="no dataset 'roadscene': choose one of other, real"):
        measure(replace(study, dataset="roadscene"))


def test_a_scene_of_two_splits_is_refused(study, tmp_path):
    """Or the test would be on training pairs: also where a row has no split, and so belongs to all."""
    rows = read_manifest(study.manifest)
    for changed in (replace(rows[0], split=""), replace(rows[3], group=rows[0].group)):
        write_manifest(tmp_path / "leaky.csv", [changed if row.id == changed.id else row for row in rows])
        with pytest.raises(UserError, match=r"scene .* is in both train and"):
            measure(replace(study, manifest=tmp_path / "leaky.csv"))
    assert not study.asked, "refused before anything is trained"
