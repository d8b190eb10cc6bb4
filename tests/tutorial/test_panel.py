"""The live panel: what is chosen is drawn, and a menu may depend on those before it."""

import sys

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest

from v2ir_lib.tutorial.panel import live_panel

CAMERAS = {"nir": ("security", "drone"), "lwir": ("driving", "radiometric")}


@pytest.fixture
def panel():
    pytest.importorskip("ipywidgets", reason="comes with the extra 'notebooks'")
    drawn = []

    def draw(**chosen):
        drawn.append(chosen)
        return plt.figure(figsize=(len(drawn), 1))

    box = live_panel(draw, time=("day", "night"), band=tuple(CAMERAS), camera=lambda time, band: CAMERAS[band])
    return box, drawn


def test_a_turned_knob_draws_once_and_the_picture_follows(panel):
    (menus, picture), drawn = panel[0].children, panel[1]
    time, before = menus.children[0], picture.value
    assert drawn == [{"time": "day", "band": "nir", "camera": "security"}]
    time.value = "night"
    assert drawn[1:] == [{"time": "night", "band": "nir", "camera": "security"}]
    assert bytes(picture.value).startswith(b"\x89PNG") and picture.value != before
    assert not plt.get_fignums()


def test_another_band_offers_its_own_cameras_and_draws_once(panel):
    (menus, _), drawn = panel[0].children, panel[1]
    _, band, camera = menus.children
    band.value = "lwir"
    assert camera.options == CAMERAS["lwir"]
    assert drawn[1:] == [{"time": "day", "band": "lwir", "camera": "driving"}]
    camera.value = "radiometric"
    assert drawn[-1] == {"time": "day", "band": "lwir", "camera": "radiometric"} and len(drawn) == 3


def test_without_ipywidgets_a_line_says_so_and_nothing_is_drawn(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # makes the import fail, as if it were not there
    assert live_panel(lambda **_: pytest.fail("drawn for nobody"), time=("day",)) is None
    assert "ipywidgets is not installed" in capsys.readouterr().out
