"""Drift: what passes, what does not, and what each line of the table says. Pure."""

import math

import pytest

from v2ir_lib.tutorial.drift import EXACT, accepts, compare, default_tolerance, fault, leaves, table, with_leaf

NAN = float("nan")


def entry(value, tolerance):
    return {"value": value, "tolerance": tolerance}


@pytest.mark.parametrize(
    "value, tolerance, passes, drifts",
    [
        (3, EXACT, [3, 3.0], [4, 0, NAN, True, "3", None, [3]]),
        (0, EXACT, [0], [1, -1, NAN, False, None]),
        (True, EXACT, [True], [False, 1, None]),
        ("car", EXACT, ["car"], ["cars", "", 0, ["car"]]),
        (None, EXACT, [None], [0, False, ""]),
        (16.6, {"absolute": 0.5}, [16.1, 16.6, 17.1, 17], [16.09, 17.11, 0, -16.6, NAN, math.inf, None]),
        (0.2, {"absolute": 0.1}, [0.1, 0.3], [0.301]),
        (-8.0, {"relative": 0.25}, [-6, -10], [-5.99, -10.01, 8.0, 0, NAN]),
        ([1.0, -2.0], {"relative": 0.1}, [[1.1, -2.2]], [[1.1, -2.3], [1.0], [-2.0, 1.0], [1.0, NAN], {"0": 1.0}]),
        (
            {"a": 5, "of": "b"},
            {"absolute": 1},
            [{"of": "b", "a": 6}],
            [{"a": 5, "of": "c"}, {"a": 5}, {"a": 7, "of": "b"}],
        ),
    ],
)
def test_what_a_tolerance_takes(value, tolerance, passes, drifts):
    assert fault(value, tolerance) is None
    for found in passes:
        assert accepts(value, found, tolerance), found
    for found in drifts:
        assert not accepts(value, found, tolerance), found


def test_each_drift_says_where_and_what():
    expected = {
        "psnr": entry({"phase 1": 16.6, "phase 2": [20.0, 21.0]}, {"absolute": 0.5}),
        "same": entry(7, EXACT),
        "share": entry(0.25, {"relative": 0.1}),
        "gone": entry("words", EXACT),
        "longer": entry([1, 2], EXACT),
        "other": entry({"a": 1}, EXACT),
    }
    found = {"new": 1.23456789, "same": 7, "longer": [1, 2, 3], "other": {"b": 1}, "share": 0.3}
    found["psnr"] = {"phase 1": 17.0, "phase 2": [20.0, 30.0]}
    assert [tuple(vars(drift).values()) for drift in compare(expected, found)] == [
        ("psnr", " / phase 2 / 2", "21", "± 0.5", "30"),
        ("share", "", "0.25", "± 10%", "0.3"),
        ("gone", "", "words", "exact", "not recorded"),
        ("longer", "", "a list of 2", "same shape", "a list of 3"),
        ("other", "", "keys a", "same shape", "keys b"),
        ("new", "", "no such figure", "-", "1.23457"),
    ]
    assert compare(expected, {name: one["value"] for name, one in expected.items()}) == []


def test_the_table_is_aligned():
    drifts = compare(
        {"x": entry(1.5, {"absolute": 0.1}), "share of all": entry(4, EXACT)}, {"x": 2.0, "share of all": 5}
    )
    lines = table({"00_start": drifts}).splitlines()
    assert lines == [
        "notebook  figure        expected  tolerance  found",
        "00_start  x             1.5       ± 0.1      2",
        "00_start  share of all  4         exact      5",
    ]


@pytest.mark.parametrize(
    "value, tolerance, why",
    [
        (1.0, {"absolute": 1.0}, "takes 0 for 1"),
        ([5.0, -0.2], {"absolute": 0.3}, "takes 0 for -0.2 / 1"),
        ({"a": 0}, {"absolute": 1}, "takes 1 for 0 / a"),
        ([0.0, 2.0], {"relative": 0.1}, "no meaning for 0"),
        (1.0, {"relative": 1.0}, "is no tolerance"),
        (1.0, {"relative": 0}, "is no tolerance"),
        (1.0, {"absolute": -1}, "is no tolerance"),
        (1.0, {"absolute": NAN}, "is no tolerance"),
        (1.0, {"absolute": 0.1, "relative": 0.1}, "is no tolerance"),
        (1.0, {"about": 0.1}, "is no tolerance"),
        (1.0, None, "is no tolerance"),
        ("car", {"absolute": 0.1}, "say exact"),
        (NAN, EXACT, "not finite"),
    ],
)
def test_what_is_no_tolerance(value, tolerance, why):
    assert why in fault(value, tolerance)


@pytest.mark.parametrize(
    "value, tolerance",
    [
        (3, EXACT),
        ("car", EXACT),
        ([True, 2], EXACT),
        (0.0, EXACT),
        (1.5, {"relative": 0.05}),
        ({"a": -20.0, "b": 3}, {"relative": 0.05}),
        ([0.0, 0.5, -40.0], {"absolute": 0.03}),
        ([0, 7.5], {"absolute": 0.05}),
    ],
)
def test_defaults_by_kind_are_good_tolerances(value, tolerance):
    assert default_tolerance(value) == tolerance
    assert fault(value, tolerance) is None


def test_leaves_can_be_found_and_replaced():
    figure = {"a": [1, {"b": "c"}], "d": None}
    assert leaves(figure) == [(("a", 0), 1), (("a", 1, "b"), "c"), (("d",), None)]
    assert leaves(2.0) == [((), 2.0)]
    assert with_leaf(figure, ("a", 1, "b"), 9) == {"a": [1, {"b": 9}], "d": None}
    assert with_leaf(2.0, (), 0) == 0
    assert figure == {"a": [1, {"b": "c"}], "d": None}
