"""Figures: what a grid shows where, and on which scale; lines that each have an axis of their own."""

import os
import subprocess
import sys

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from v2ir_lib.figures import ACCENT, INK, bars, forest, lines, maps, picture_grid, strips


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_gap_at_the_left_keeps_its_rows_label_and_shows_no_picture():
    picture = np.zeros((4, 4), np.uint8)
    figure = picture_grid([[picture, picture], [None, picture]], labels=["above", "below"])
    gap = figure.axes[2]
    assert gap.get_ylabel() == "below" and gap.axison and not gap.images
    assert len(figure.axes[3].images) == 1


def test_numbers_other_than_grey_levels_take_the_scale_that_is_asked_for():
    latents = picture_grid([[np.array([[-3.0, 3.0]])]], limits=(-3, 3)).axes[0].images[0]
    assert latents.get_clim() == (-3, 3)
    greys = picture_grid([[np.array([[10, 20]], np.uint8)]]).axes[0].images[0]
    assert greys.get_clim() == (0, 255)


def test_each_line_has_its_own_x_values_and_dots_are_not_joined():
    figure = lines(
        {"short": ([1, 2], [5, 4]), "long": ([1, 10, 100], [3, 2, 1])}, "step", "loss", log="x", dots=["short"]
    )
    axis = figure.axes[0]
    short, long = axis.lines
    assert short.get_xdata().tolist() == [1, 2] and short.get_linestyle() == "None"
    assert long.get_xdata().tolist() == [1, 10, 100] and long.get_linestyle() == "-"
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "linear")
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("step", "loss")


def test_a_backend_that_switches_on_interactive_mode_keeps_it_after_the_first_figure(tmp_path):
    # As Jupyter's does when it is loaded; without the mode it shows no figure at the end of a cell.
    (tmp_path / "like_jupyter.py").write_text(
        "import matplotlib\nfrom matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas\n"
        "matplotlib.interactive(True)\n"
    )
    code = (
        "import matplotlib, numpy\nfrom v2ir_lib.figures import picture_grid, use_style\nuse_style()\n"
        "picture_grid([[numpy.zeros((2, 2))]])\nassert matplotlib.is_interactive()"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "MPLBACKEND": "module://like_jupyter", "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_each_map_has_a_scale_and_a_bar_of_its_own_and_a_colour_picture_has_none():
    field = np.linspace(0, 1000, 100).reshape(10, 10)
    figure = maps(
        [np.zeros((4, 4, 3), np.uint8), field, field],
        ["visible", "a", "b"],
        ["", "K", "°C"],
        limits=[None, None, (0, 50)],
    )
    pictures, side = figure.axes[:3], figure.axes[3:]
    assert [axis.get_xlabel() for axis in side] == ["K", "°C"]
    assert pictures[1].images[0].get_clim() == pytest.approx((5, 995))  # 0.5% are darker, 0.5% brighter
    assert pictures[2].images[0].get_clim() == (0, 50)


def test_strips_show_every_value_in_its_row_and_mark_the_mean():
    axis = strips({"day": [-1.0, 0.0, 0.4], "night": [0.5]}, "correlation").axes[0]
    zero, dots, mean, other, _ = axis.lines
    assert set(zero.get_xdata()) == {0}
    assert dots.get_xdata().tolist() == [-1.0, 0.0, 0.4] and np.all(np.abs(dots.get_ydata()) < 0.3)
    assert mean.get_xdata() == pytest.approx([-0.2, -0.2])
    assert np.abs(other.get_ydata() - 1).max() < 0.3  # the second row
    assert [label.get_text() for label in axis.get_yticklabels()] == ["day", "night"]


def test_bars_on_a_logarithmic_axis_show_the_least_and_write_values_as_asked():
    axis = bars({"few": (10.0,) * 3, "many": (5e9,) * 3}, "pictures", log=True, form=",.0f").axes[0]
    assert axis.get_xscale() == "log" and 0 < axis.get_xlim()[0] < 10 and axis.get_xlim()[1] > 5e9
    assert [text.get_text() for text in axis.texts] == ["10", "5,000,000,000"]


def test_a_forest_draws_both_intervals_and_colours_only_what_is_clear():
    rows = {
        "clear": {"mean": 0.5, "inner": (0.4, 0.6), "outer": (0.1, 0.9), "mark": 2.0, "clear": True},
        "one seed": {"mean": -0.1, "inner": (-0.3, 0.1), "outer": None, "mark": None, "clear": False},
    }
    figure = forest({"first": rows, "second": {"clear": rows["clear"]}}, "dB", "a caption", ("scenes", "seeds", ""))
    first, second = figure.axes
    spans = [
        (line.get_xdata()[0], line.get_xdata()[1], line.get_color())
        for line in first.lines[1:]
        if len(line.get_xdata()) == 2
    ]
    assert [span[:2] for span in spans] == [(0.1, 0.9), (0.4, 0.6), (-0.3, 0.1)]
    assert [span[2] for span in spans[1:]] == [ACCENT, INK]
    dots = {line.get_marker(): line.get_xdata()[0] for line in first.lines if line.get_marker() in "oD"}
    assert dots == {"o": -0.1, "D": 2.0}
    assert [text.get_text() for text in first.get_yticklabels()] == ["clear", "one seed"]
    assert first.get_ylim() == (1.5, -0.5) and second.get_xlabel() == "dB" and first.get_xlabel() == ""
    assert first.get_position().height == pytest.approx(2 * second.get_position().height)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["scenes", "seeds"]
