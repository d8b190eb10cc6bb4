"""Boxes and average precision by hand; that arms differ in their pictures alone; that runs repeat and resume."""

from dataclasses import replace

import numpy as np
import pytest
from detector_makers import CAR, PERSON, SIZE, boxes, detections

from v2ir_lib.evaluation.detector import lines, report_of
from v2ir_lib.evaluation.detector_boxes import Boxes, boxes_of
from v2ir_lib.evaluation.detector_scores import (
    PASSED,
    RIGHT,
    WRONG,
    average_precision,
    drawn,
    judge,
    judge_all,
)
from v2ir_lib.evaluation.detector_show import COLOURS, ZOOM, columns_of, examples, with_boxes
from v2ir_lib.evaluation.detector_study import ARMS, BLIND, GREY, INVERTED, TRANSLATED, TRUE, Found
from v2ir_lib.world import CLASS_INDEX

# --- boxes -------------------------------------------------------------------------------------------------------


def test_boxes_of_masks_by_hand():
    """Masks of 24 pixels for a picture of 12: everything halves."""
    instances, classes = np.zeros((24, 24), np.uint8), np.zeros((24, 24), np.uint8)
    kinds = ("car", "person", "tree", "bicycle", "person")
    for number, (kind, rows, columns) in enumerate(
        zip(
            kinds,
            ((0, 8), (10, 20), (0, 9), (20, 24), (9, 24)),
            ((0, 10), (1, 4), (12, 24), (0, 6), (14, 23)),
            strict=True,
        ),
        1,
    ):
        instances[slice(*rows), slice(*columns)] = number
        classes[slice(*rows), slice(*columns)] = CLASS_INDEX[kind]
    instances[2:4, 2:4] = classes[2:4, 2:4] = 0  # a hole, as where something stands in front
    classes[10, 10] = classes[11, 11] = CLASS_INDEX["person"]  # touching, too small for a number
    found = boxes_of(instances, classes, kinds, 12)
    expected = [
        (CAR, 0, 0, 5, 4, True, True),
        (PERSON, 0.5, 5, 2, 10, True, False),  # one and a half pixels wide
        (PERSON, 0, 10, 3, 12, False, False),  # who rides the bicycle
        (PERSON, 7, 4.5, 11.5, 12, True, True),
        (PERSON, 5, 5, 6, 6, False, False),
    ]
    assert [(label, *box, learnt, asked) for label, box, learnt, asked in zip(
        found.labels.tolist(), found.corners.tolist(), found.learnt.tolist(), found.asked.tolist(), strict=True
    )] == [(label, *map(float, box), learnt, asked) for label, *box, learnt, asked in expected]  # fmt: skip
    assert found.to_learn()[1].tolist() == [CAR, PERSON, PERSON]


def test_no_boxes_and_too_few_names():
    empty = np.zeros((8, 8), np.uint8)
    assert boxes_of(empty, empty, (), 4).corners.shape == (0, 4)
    with pytest.raises(ValueError, match="numbers 1 objects, but 0 are named"):
        boxes_of(empty + 1, empty, (), 4)


# --- scores ------------------------------------------------------------------------------------------------------


def test_average_precision_by_hand():
    hits = np.array([False, True, True])
    once, again, better = [1, 1, 1], [2, 1, 1], [1, 1, 2]
    found = average_precision(hits, np.array([once, again, better, once]), np.array([2, 2, 3, 0]))
    # Precision at the hits 1/2, 2/3, made monotone 2/3, 2/3; then 1/3, 2/4 → 1/2, 1/2; then 1/2, 3/4 → 3/4, 3/4.
    assert found[:3] == pytest.approx([2 / 3, 1 / 2, 3 / 4]) and np.isnan(found[3])
    assert average_precision(np.array([True, False, True]), np.ones((1, 3)), np.array([3])) == (1 + 2 / 3) / 3


def test_each_box_is_found_once_and_some_detections_are_passed_over():
    asked = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    passed = np.array([[40, 0, 60, 20]], np.float32)
    corners = np.array(
        [
            [0, 0, 10, 9],  # second best on the first box: the better one has it
            [0, 0, 10, 10],
            [20, 0, 30, 5],  # IoU exactly 1/2
            [20, 5.1, 30, 10],  # less than half
            [41, 1, 47, 7],  # inside what is passed over
            [56, 0, 66, 10],  # four tenths of it inside
            [80, 80, 83, 99],  # too small to be asked for
        ],
        np.float32,
    )
    scores = np.array([0.5, 0.9, 0.6, 0.7, 0.9, 0.9, 0.9], np.float32)
    assert judge(corners, scores, asked, passed).tolist() == [WRONG, RIGHT, RIGHT, WRONG, PASSED, WRONG, PASSED]


def test_scenes_kinds_and_recall():
    truth = [boxes((PERSON, 0, 0, 5, 9), (CAR, 10, 10, 20, 16)), boxes((PERSON, 3, 3, 9, 9))]
    said = detections(
        (1, PERSON, 0.2, 3, 3, 9, 9),
        (0, PERSON, 0.9, 0, 0, 5, 9),
        (0, PERSON, 0.5, 10, 10, 20, 16),  # a car taken for a person
        (1, CAR, 0.8, 10, 10, 20, 16),  # the right place, in the other scene
    )
    judged = judge_all(said, truth)
    both, first = drawn(2, np.arange(2), 0, 0), drawn(2, np.array([0]), 0, 0)
    assert judged["person"].precision(both) == pytest.approx([(1 + 2 / 3) / 2])
    assert judged["person"].precision(first) == [1] and judged["car"].precision(both) == [0]
    assert judged["person"].recall(np.arange(2)) == 1 and judged["car"].recall(np.array([0])) == 0


def test_scenes_are_drawn_again_among_the_members():
    members = np.array([1, 2, 4, 5])
    weights = drawn(6, members, 200, 3)
    assert weights[0].tolist() == [0, 1, 1, 0, 1, 1] and (weights.sum(axis=1) == 4).all()
    assert not weights[:, [0, 3]].any() and len({tuple(row) for row in weights}) > 20
    assert np.array_equal(weights, drawn(6, members, 200, 3)) and not np.array_equal(weights, drawn(6, members, 200, 4))


@pytest.fixture
def found() -> tuple[Found, list[Boxes]]:
    """Eight scenes with a person and a car each. Translations teach everything, grey half, inverted grey nothing."""
    truth = [boxes((PERSON, 0, 0, 5, 9), (CAR, 10, 10, 20, 16)) for _ in range(8)]
    every = [(scene, label, 0.9, *box) for scene in range(8) for label, *box in ((1, 0, 0, 5, 9), (2, 10, 10, 20, 16))]
    nothing = [(scene, label, score, 20, 20, 30, 30) for scene, label, score, *_ in every]
    answers = {TRUE: every, TRANSLATED: every, GREY: every[: len(every) // 2], INVERTED: nothing, BLIND: nothing}
    known = {name: [detections(*some)] * 2 for name, some in answers.items()}
    return Found(known, {TRUE: known[TRUE], GREY: known[TRUE]}, {}), truth


def test_the_report(found):
    report = report_of(*found, {"all": np.arange(8), "night": np.arange(4, 8)}, seed=0, draws=100)
    mean = report["all"]["mean"]
    assert {name: one["mean"] for name, one in mean["average_precision"].items()} == {
        TRUE: 1, TRANSLATED: 1, GREY: 0.5, INVERTED: 0, BLIND: 0,
    }  # fmt: skip
    assert (mean["boxes"], report["night"]["car"]["boxes"]) == (16, 4)
    grey = mean["average_precision"][GREY]
    assert grey["low"] < 0.5 < grey["high"] and grey["by_seed"] == [0.5, 0.5] and grey["recall"] == 0.5
    assert report["night"]["person"]["average_precision"][GREY]["mean"] == 0
    gains = mean["translated minus"]
    assert set(gains) == {TRUE, GREY, INVERTED, BLIND}
    assert (gains[TRUE]["low"], gains[TRUE]["high"], gains[TRUE]["verdict"]) == (0, 0, "not told apart")
    assert gains[GREY]["mean"] == 0.5 and gains[GREY]["verdict"] == "higher", "over scenes and over seeds"
    assert gains[GREY]["low"] == pytest.approx(1 - grey["high"]), "the same draws for both"
    assert mean["own_pictures"] == {TRUE: 1, GREY: 1}
    assert any("night, mean" in line for line in lines({"groups": report}))


def test_one_seed_tells_nothing_apart(found):
    known = {name: some[:1] for name, some in found[0].infrared.items()}
    report = report_of(replace(found[0], infrared=known), found[1], {"all": np.arange(8)}, seed=0, draws=100)
    gain = report["all"]["mean"]["translated minus"][INVERTED]
    assert gain["mean"] == 1 and gain["over_seeds"] is None and gain["verdict"] == "one seed"


def test_examples_are_drawn_where_they_were_found(found):
    shown = examples(*found, {"night": np.array([5, 6, 7]), "day": np.array([0])})
    assert list(shown) == ["5", "6", "0"] and shown["5"]["time"] == "night"
    assert shown["5"]["truth"] == ["person 1.00 0.0 0.0 5.0 9.0", "car 1.00 10.0 10.0 20.0 16.0"]
    assert len(shown["5"]["found"][TRANSLATED]) == 2 and shown["5"]["found"][GREY] == []
    picture = np.full((SIZE, SIZE), 7, np.uint8)
    large = with_boxes(picture, shown["5"]["found"][TRUE])
    assert large.shape == (ZOOM * SIZE, ZOOM * SIZE, 3)
    assert tuple(large[10 * ZOOM, 15 * ZOOM]) == COLOURS["car"] and tuple(large[13 * ZOOM, 15 * ZOOM]) == (7, 7, 7)
    many = {arm: np.repeat(picture[None], 8, axis=0) for arm in ARMS}
    columns = columns_of(shown, np.zeros((8, SIZE, SIZE, 3), np.uint8), many)
    assert len(columns) == 3 + len(ARMS) and {len(column) for column in columns.values()} == {3}
