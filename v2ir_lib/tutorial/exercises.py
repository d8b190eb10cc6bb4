"""Exercises that check themselves.

A stub returns `NotImplemented`; its check then says "not attempted", also where that is one of several answers or is
calculated with. After a wrong answer it says what is wrong, after a right one, "correct". Nothing is raised: a notebook
with open exercises runs through.
"""

import traceback
from collections.abc import Callable

import numpy as np

Judge = Callable[[object], str | None]
"""Looks at an answer: None if it is right, else a sentence that says what is wrong with it."""


def check(title: str, attempt: Callable[[], object], *judges: Judge) -> str:
    """Run `attempt()` and judge what it returns; print one line and return "correct", "wrong" or "not attempted".

    `attempt` calls what the learner wrote: `check("1.2", lambda: snr(0.5), close_to(1.0))`. The judges are asked in
    turn, so put the most helpful message first.
    """
    try:
        answer = attempt()
    except NotImplementedError:
        answer = NotImplemented
    except Exception as error:  # the learner's code: whatever it raises is an answer
        if not _is_stub_in_use(error):
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"in {place.name}, line {place.lineno}"
            return _say(title, "wrong", f"it raised {type(error).__name__}: {error}, {where}")
        answer = NotImplemented
    if _has_stub(answer):
        return _say(title, "not attempted", "replace NotImplemented by your answer and run this cell again")
    if answer is None:
        return _say(title, "wrong", "it returned None: is there a `return`?")
    for judge in judges:
        complaint = judge(answer)
        if complaint:
            return _say(title, "wrong", complaint)
    return _say(title, "correct")


def close_to(expected: object, rtol: float = 1e-5, atol: float = 1e-8) -> Judge:
    """A judge for numbers and arrays (NumPy or torch): same shape, no NaN, within atol + rtol·|expected|."""
    target = _array(expected)

    def judge(answer: object) -> str | None:
        try:
            given = _array(answer).astype(np.float64)
        except (TypeError, ValueError):
            return f"a {type(answer).__name__} came back where numbers were expected"
        if given.shape != target.shape:
            return f"its shape is {given.shape}, and should be {target.shape}"
        if np.isnan(given).any():
            return "it holds NaN"
        if not np.allclose(given, target, rtol=rtol, atol=atol):
            if given.ndim == 0:
                return f"it is {given:.6g}, which is not it yet"
            off = ~np.isclose(given, target, rtol=rtol, atol=atol)
            return f"{off.sum()} of {off.size} values differ, by up to {np.abs(given - target).max():.3g}"
        return None

    return judge


def equal_to(expected: object) -> Judge:
    """A judge for names, choices, counts: the same type and value as `expected`; a tuple is as good as a list."""

    def judge(answer: object) -> str | None:
        if isinstance(expected, str) and isinstance(answer, str):
            return None if answer.strip().casefold() == expected.casefold() else f"{answer!r} is not it"
        if isinstance(expected, bool) != isinstance(answer, bool):
            return f"a {type(answer).__name__} came back where a {type(expected).__name__} was expected"
        if isinstance(expected, list | tuple) and isinstance(answer, list | tuple):
            return None if list(answer) == list(expected) else f"{answer!r} is not it"
        return None if type(answer) is type(expected) and answer == expected else f"{answer!r} is not it"

    return judge


def _has_stub(answer: object) -> bool:
    """Whether it is NotImplemented, or holds one in lists, tuples and the values of dictionaries."""
    inside = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list | tuple) else ()
    return answer is NotImplemented or any(_has_stub(one) for one in inside)


def _is_stub_in_use(error: Exception) -> bool:
    """Whether somebody calculated with a stub's answer, as in `float(NotImplemented)`."""
    return isinstance(error, TypeError) and type(NotImplemented).__name__ in str(error)


def _array(value: object) -> np.ndarray:
    if hasattr(value, "detach"):  # torch, without importing it
        value = value.detach().cpu()
    return np.asarray(value)


def _say(title: str, verdict: str, detail: str = "") -> str:
    mark = {"correct": "✓", "wrong": "✗", "not attempted": "·"}[verdict]
    print(f"{mark} {title}: {verdict}" + (f" ({detail})" if detail else ""))
    return verdict
