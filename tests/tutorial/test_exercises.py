"""A check tells "not attempted", "wrong" and "correct" apart, says what is wrong, and never raises."""

import numpy as np
import pytest

from v2ir_lib.tutorial import check, close_to, equal_to


def raises():
    raise KeyError("sigma")


def not_implemented():
    raise NotImplementedError


def stub(*_):
    return NotImplemented


@pytest.mark.parametrize(
    "attempt, verdict, said",
    [
        (lambda: NotImplemented, "not attempted", "NotImplemented"),
        (not_implemented, "not attempted", "NotImplemented"),
        (lambda: None, "wrong", "return"),
        (raises, "wrong", "KeyError"),
        (lambda: np.array([1.0, 2.0]), "correct", "correct"),
        (lambda: [1.0, 2.0 + 1e-7], "correct", "correct"),
        (lambda: np.array([1.0, 2.1]), "wrong", "1 of 2 values differ, by up to 0.1"),
        (lambda: np.array([[1.0, 2.0]]), "wrong", "shape is (1, 2), and should be (2,)"),
        (lambda: np.array([1.0, np.nan]), "wrong", "NaN"),
        (lambda: np.zeros(2), "wrong", "2 of 2"),
        (lambda: "words", "wrong", "numbers"),
    ],
)
def test_verdicts(attempt, verdict, said, capsys):
    assert check("1.1", attempt, close_to([1.0, 2.0])) == verdict
    line = capsys.readouterr().out
    assert "1.1" in line and verdict in line and said in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: [stub(1), stub(2)],
        lambda: (1.0, stub(2)),
        lambda: {"first": stub(), "second": 2.0},
        lambda: [[1.0, 2.0], ({"deep": [stub()]},)],
        lambda: float(stub()),
        lambda: [int(stub(one)) for one in (1, 2)],
        lambda: 1 + stub(),
        lambda: stub()[0],
    ],
)
def test_a_stub_among_several_answers_or_calculated_with(attempt, capsys):
    """However an attempt asks for them, an open exercise is not a wrong one."""
    assert check("2.1", attempt, close_to([1.0, 2.0])) == "not attempted"
    assert "replace NotImplemented" in capsys.readouterr().out


@pytest.mark.parametrize(
    "attempt, verdict",
    [
        (lambda: [1.0, 2.0], "correct"),
        (lambda: (1.0, 3.0), "wrong"),
        (lambda: [], "wrong"),
        (lambda: {"first": 1.0}, "wrong"),
        (lambda: [None, 2.0], "wrong"),
        (lambda: 1 + None, "wrong"),
        (lambda: float("NotImplementedType"), "wrong"),  # a ValueError
    ],
)
def test_several_answers_without_a_stub(attempt, verdict):
    assert check("2.2", attempt, close_to([1.0, 2.0])) == verdict


def test_torch_answers():
    torch = pytest.importorskip("torch")
    answer = torch.ones(2, requires_grad=True) * 3
    assert check("t", lambda: answer, close_to(np.full(2, 3.0))) == "correct"
    assert check("t", lambda: answer + 1, close_to(torch.full((2,), 3.0))) == "wrong"


@pytest.mark.parametrize(
    "expected, right, wrong",
    [("visible", " Visible ", "infrared"), (12, 12, 4), (True, True, 1), (3, 3, True), ([1, 2], (1, 2), [2, 1])],
)
def test_equal_to(expected, right, wrong):
    assert check("e", lambda: right, equal_to(expected)) == "correct"
    assert check("e", lambda: wrong, equal_to(expected)) == "wrong"


def test_the_first_complaint_is_the_one_that_is_said(capsys):
    check("o", lambda: 5, lambda answer: "too large" if answer > 4 else None, close_to(3))
    assert "too large" in capsys.readouterr().out
