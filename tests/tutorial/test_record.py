"""Recorded figures are plain JSON, and a figure that cannot be compared later is refused where it was made."""

import json

import numpy as np
import pytest

from v2ir_lib.tutorial import finish, record
from v2ir_lib.tutorial.record import VARIABLE, read_record


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "figures.json"))
    return tmp_path / "figures.json"


def test_figures_accumulate_and_the_end_is_marked_once_it_is_reached(path):
    record("psnr", np.float32(20.5))
    record("shape", (2, np.int64(3)))
    record("psnr", 21)
    assert json.loads(path.read_text()) == {"figures": {"psnr": 21, "shape": [2, 3]}, "finished": False}
    record("table", {"day": np.array([1.0, 2.0])})
    finish()
    assert read_record(path) == {
        "figures": {"psnr": 21, "shape": [2, 3], "table": {"day": [1.0, 2.0]}},
        "finished": True,
    }


@pytest.mark.parametrize("value", [float("nan"), np.float32("inf"), [1.0, float("nan")], object(), b"bytes"])
def test_what_cannot_be_compared_is_refused(path, value):
    record("before", 1)
    with pytest.raises(ValueError, match="'bad'"):
        record("bad", value)
    assert read_record(path)["figures"] == {"before": 1}


def test_interactively_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    record("x", 1)
    finish()
    assert read_record()["figures"]["x"] == 1
    assert not list(tmp_path.iterdir())
