"""Arms differ in their pictures alone; runs repeat and resume."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import typer
from detector_makers import PERSON, SIZE, boxes, detections
from typer.testing import CliRunner

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation import detector, detector_training
from v2ir_lib.evaluation.detector_boxes import Boxes
from v2ir_lib.evaluation.detector_scores import (
    drawn,
    judge_all,
)
from v2ir_lib.evaluation.detector_study import ARMS, BLIND, GREY, INVERTED, TRUE, Study, run_all
from v2ir_lib.evaluation.detector_training import augmented, batches, detect, new_detector, train
from v2ir_lib.plm.cache import weights_fingerprint

# --- training ----------------------------------------------------------------------------------------------------


def squares(count: int, seed: int = 0) -> tuple[np.ndarray, list[Boxes]]:
    """Noisy pictures with one bright upright box, a person, each."""
    rng = np.random.default_rng(seed)
    pictures, truth = rng.integers(0, 60, (count, SIZE, SIZE)).astype(np.uint8), []
    for picture in pictures:
        x, y = rng.integers(2, SIZE - 14, 2)
        picture[y : y + 12, x : x + 8] = 220
        truth.append(boxes((PERSON, x, y, x + 8, y + 12)))
    return pictures, truth


def test_a_detector_learns_and_repeats_by_its_seed():
    pictures, truth = squares(16)
    done = train(pictures, truth, 40, 0)
    judged = judge_all(detect(done.model, pictures, np.arange(16)), truth)["person"]
    assert judged.precision(drawn(16, np.arange(16), 0, 0))[0] > 0.8
    first, again, other = (weights_fingerprint(train(pictures, truth, 2, seed).model) for seed in (0, 0, 1))
    assert first == again != other
    start = [weights_fingerprint(new_detector(seed, SIZE)) for seed in (0, 0, 1)]
    assert start[0] == start[1] != start[2]


def test_a_box_is_mirrored_with_its_picture():
    picture, corners = torch.zeros(1, 10, 20), torch.tensor([[2.0, 3.0, 6.0, 9.0]])
    picture[:, 3:9, 2:6] = 1
    seen = set()
    for seed in range(8):
        turned, moved = augmented(picture, corners, np.random.default_rng(seed))
        x0, y0, x1, y1 = map(int, moved[0])
        inside = turned[:, y0:y1, x0:x1]
        assert inside.min() == turned.max() and (turned == turned.max()).sum() == inside.numel()
        seen.add(x0)
    assert seen == {2, 14}


def test_chance_is_drawn_alike_whatever_the_picture():
    """Or two arms of one seed would see other scenes after the first difference."""
    generators = [np.random.default_rng(5) for _ in range(2)]
    augmented(torch.zeros(1, 4, 4), torch.zeros(0, 4), generators[0])
    augmented(torch.rand(1, 9, 9), torch.tensor([[0.0, 0, 4, 4], [1, 1, 5, 5]]), generators[1])
    assert generators[0].random() == generators[1].random()


def test_every_picture_is_seen_once_before_any_comes_again(monkeypatch):
    monkeypatch.setattr(detector_training, "BATCH", 4)
    order = [number for batch in batches(6, 3, np.random.default_rng(0)) for number in batch]
    assert sorted(order[:6]) == sorted(order[6:]) == list(range(6)) and order[:6] != order[6:]


# --- the study ---------------------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    """Six tested scenes in two folds and two that all train on; other noise in each arm."""
    monkeypatch.setenv("V2IR_CACHE", str(tmp_path))
    pictures, truth = squares(8)
    return Study({arm: pictures + np.uint8(number) for number, arm in enumerate(ARMS)}, truth, 6, 2, 2)


@pytest.fixture
def trainings(monkeypatch) -> list[tuple]:
    """What each training is given, in order; one step of it is done."""
    asked = []

    def noting(pictures, truth, steps, seed, progress):
        asked.append((pictures, truth, steps, seed))
        return train(pictures, truth, 1, seed)

    monkeypatch.setattr(detector_training, "train", noting)
    return asked


def test_arms_share_everything_but_their_pictures(study, trainings):
    found = run_all(study, [0])
    assert len(trainings) == study.folds * len(ARMS)
    for number, (pictures, truth, steps, seed) in enumerate(trainings):
        fold, arm = divmod(number, len(ARMS))
        train_on, test = study.fold(fold)
        assert np.array_equal(pictures, study.pictures[ARMS[arm]][train_on])
        assert all(ours is study.boxes[i] for ours, i in zip(truth, train_on, strict=True))
        assert (steps, seed) == (study.steps, 0) and not set(train_on) & set(test)
    assert [study.fold(fold)[1].tolist() for fold in range(2)] == [[0, 2, 4], [1, 3, 5]]
    assert all({6, 7} <= set(study.fold(fold)[0]) for fold in range(2))
    assert {name: len(some) for name, some in found.infrared.items()} == dict.fromkeys((*ARMS, BLIND), 1)


def test_all_are_tested_on_true_infrared(study, monkeypatch):
    tested = []
    monkeypatch.setattr(detector_training, "train", lambda *_: detector_training.Trained(None, 0.5))
    monkeypatch.setattr(
        detector_training, "detect", lambda _, pictures, scenes: tested.append((pictures, scenes)) or detections()
    )
    study.run(GREY, 1, 0)
    for (pictures, scenes), arm in zip(tested, (TRUE, GREY), strict=True):
        assert np.array_equal(pictures, study.pictures[arm][[1, 3, 5]]) and scenes.tolist() == [1, 3, 5]


def test_a_second_run_trains_nothing_and_gives_the_same(study, trainings, capsys, tmp_path):
    first = study.run(GREY, 0, 0)
    again = study.run(GREY, 0, 0)
    assert len(trainings) == 1 and first.loss == again.loss
    for kind in ("infrared", "own"):
        ours, theirs = (vars(getattr(run, kind)) for run in (first, again))
        assert all(np.array_equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in ours)
    [path] = (tmp_path / "evaluation" / "detector").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert study.run(GREY, 0, 0).loss == first.loss and len(trainings) == 2
    assert "is damaged" in capsys.readouterr().err


def test_whatever_decides_a_run_is_in_its_key(study):
    known = {study.key(GREY, 0, 0), study.key(INVERTED, 0, 0), study.key(GREY, 1, 0), study.key(GREY, 0, 1)}
    known.add(replace(study, steps=3).key(GREY, 0, 0))
    for place in (1, 2):  # a picture that trains, and one that tests
        changed = study.pictures[GREY].copy()
        changed[place, 0, 0] += 1
        known.add(replace(study, pictures=study.pictures | {GREY: changed}).key(GREY, 0, 0))
    moved = [replace(one, corners=one.corners + (number == 1)) for number, one in enumerate(study.boxes)]
    known.add(replace(study, boxes=moved).key(GREY, 0, 0))
    assert len(known) == 8


def test_the_floor_has_boxes_of_training_scenes_only(study):
    found = study.blind(0, 0)
    assert set(found.scenes) == {0, 2, 4} and len(found.scores) == 3 * 5
    given = {tuple(box) for i in study.fold(0)[0] for box in study.boxes[i].corners.tolist()}
    assert {tuple(box) for box in found.corners.tolist()} <= given and len(set(found.scores.tolist())) > 10


def test_bad_input_is_one_line(study, tmp_path):
    with pytest.raises(UserError, match=r"^7 folds of 6 scenes: .*--folds"):
        replace(study, folds=7)
    app = typer.Typer()
    app.command()(detector.main)
    done = CliRunner().invoke(app, ["--models", str(tmp_path / "none"), "--out", str(tmp_path)])
    assert done.exit_code == 2 and len(done.stderr.splitlines()) == 1
    assert "autoencoder is missing" in done.stderr and not (tmp_path / "detector.json").exists()
