"""The live panel draws what is chosen, and a menu may depend on those before it; the player shows frame by frame."""

import base64
import io
import re
import sys

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from v2ir_lib.tutorial.panel import live_panel, player

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


def test_menus_begin_where_they_are_told_to_and_nothing_else_is_drawn():
    pytest.importorskip("ipywidgets", reason="comes with the extra 'notebooks'")
    drawn = []

    def draw(**chosen):
        drawn.append(chosen)
        return plt.figure(figsize=(1, 1))

    choices = dict(s_text=("0", "1.5", "7.5"), band=tuple(CAMERAS), camera=lambda s_text, band: CAMERAS[band])
    box = live_panel(draw, begin={"s_text": "1.5", "camera": "drone"}, **choices)
    assert drawn == [{"s_text": "1.5", "band": "nir", "camera": "drone"}]
    box.children[0].children[0].value = "7.5"  # what a menu begins at, it keeps only until it is turned
    assert drawn[1:] == [{"s_text": "7.5", "band": "nir", "camera": "drone"}]
    box.children[0].children[0].value = "1.5"
    box.children[0].children[2].value = "security"
    assert drawn[-1] == {"s_text": "1.5", "band": "nir", "camera": "security"}


@pytest.mark.parametrize("begin, told", [({"steps": "4"}, "no menu is called steps"), ({"time": "noon"}, "noon")])
def test_a_beginning_that_no_menu_has_is_refused(begin, told):
    pytest.importorskip("ipywidgets", reason="comes with the extra 'notebooks'")
    with pytest.raises(ValueError, match=told):
        live_panel(lambda **_: plt.figure(), begin=begin, time=("day", "night"))


def test_without_ipywidgets_a_line_says_so_and_nothing_is_drawn(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # makes the import fail, as if it were not there
    assert live_panel(lambda **_: pytest.fail("drawn for nobody"), time=("day",)) is None
    assert "ipywidgets is not installed" in capsys.readouterr().out


def test_the_player_holds_every_frame_in_order_and_leaves_no_figure_open():
    pytest.importorskip("IPython", reason="comes with the extra 'notebooks'")

    def draw(number):
        return plt.figure(figsize=(2, 1), facecolor=(number / 2, 0, 0))

    page = player(draw, 3, dpi=40).data
    shots = re.findall(r'frames\[(\d)\] = "data:image/jpeg;base64,([^"]+)"', page)
    pictures = [Image.open(io.BytesIO(base64.b64decode(data.replace("\\", "")))) for _, data in shots]
    assert [number for number, _ in shots] == ["0", "1", "2"] and {picture.size for picture in pictures} == {(80, 40)}
    red = [int(np.asarray(picture)[20, 40, 0]) for picture in pictures]
    assert red == pytest.approx([0, 128, 255], abs=6)
    assert not plt.get_fignums()
