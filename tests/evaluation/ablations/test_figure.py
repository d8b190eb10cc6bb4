"""The tree of shared trainings, and the strip of translations with what it says of itself."""

import matplotlib

matplotlib.use("agg")

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.ablations import figure
from v2ir_lib.evaluation.ablations.figure import chosen_scenes, read_comment, stage_graph, stages_of, write_strip
from v2ir_lib.evaluation.ablations.rows import EXTRA, TABLE3
from v2ir_lib.evaluation.ablations.tables import TABLES


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_nine_rows_share_three_of_thirteen_trainings():
    users = stages_of(TABLE3)
    assert len(users) == 13 and sum(len(names) for names in users.values()) == 20
    shared = {(stage.phase, stage.after and stage.after.phase): names for stage, names in users.items() if names[1:]}
    assert shared == {
        ("phase1", None): ["2", "4", "6", "7", "8", "9"],
        ("phase2", None): ["1", "5"],
        ("phase2", "phase1"): ["2", "6"],
    }


def test_the_tree_has_every_training_once_and_no_line_of_a_row_passes_another():
    drawn = [text for text in stage_graph(TABLE3, "caption").axes[0].texts]
    heights = {text.get_text(): text.get_position()[1] for text in drawn if text.get_text().startswith("row ")}
    assert sorted(heights, key=heights.get) == [f"row {name}" for name in "315426789"]
    assert sum(text.get_text().startswith("phase ") for text in drawn) == 13
    assert [text.get_text() for text in drawn].count("phase 2, words + maps") == 1
    assert sum(text.get_color() == "white" for text in drawn) == 3, "those that several rows use"


def test_scenes_are_chosen_by_number_and_only_the_foggy_one_is_in_fog():
    groups = {"all": np.arange(9), "day": np.array([0, 3]), "dusk": np.array([1]), "night": np.array([2, 4])}
    assert chosen_scenes(groups | {"fog": np.array([0, 2])}) == {"day": 3, "night": 4, "dusk": 1, "fog": 0}
    assert chosen_scenes({"all": np.arange(2), "day": np.array([1])}) == {"day": 1}


@pytest.fixture
def lab(monkeypatch):
    """Eight pretended scenes, and every row's answers a grey of its own; what is trained can be taken away."""
    size, trained = (8, 12, 12), {row.name for row in (*TABLE3, *EXTRA)}
    heldout = SimpleNamespace(
        visible=np.full((*size, 3), 90, np.uint8),
        infrared=np.full(size, 200, np.uint8),
        groups=lambda: {"all": np.arange(8), "day": np.arange(4), "night": np.arange(4, 8)},
    )
    names = {id(row): row.name for row in (*TABLE3, *EXTRA)}
    monkeypatch.setattr(figure, "last_stage", lambda row, seed: names[id(row)])
    monkeypatch.setattr(figure, "is_trained", lambda lab, stage: stage in trained)
    answers = {row.name: np.arange(8 * 144).reshape(size) // 144 + 10 * k for k, row in enumerate((*TABLE3, *EXTRA))}
    monkeypatch.setattr(figure, "translations", lambda lab, row, seed: answers[row.name].astype(np.uint8))
    return SimpleNamespace(heldout=heldout, row_key=lambda row, seed: f"key of {row.name}, {seed}", trained=trained)


def test_a_strip_shows_every_row_and_says_which(lab, tmp_path, monkeypatch):
    out, drawn = tmp_path / "strip.jpg", []
    monkeypatch.setattr(figure, "picture_grid", lambda rows, **_: drawn.extend(rows) or plt.figure())
    told = write_strip(TABLES["table3"], lab, out, seed=1)
    assert told["columns"] == ["visible", "inverted grey", *(f"row {k}" for k in range(1, 10)), "U-Net, L1", "true"]
    assert told["scenes"] == {"day": 0, "night": 4} and told["keys"]["9"] == "key of 9, 1"
    assert [int(picture.mean()) for picture in drawn[1][2:]] == [*range(4, 94, 10), 10 * 14 + 4, 200], "scene 4"
    assert read_comment(out) == told and Image.open(out).format == "JPEG"
    lab.trained.discard("unet")
    assert "U-Net, L1" not in write_strip(TABLES["table3"], lab, out)["columns"]


def test_without_a_row_there_is_no_strip(lab, tmp_path):
    lab.trained.discard("7")
    with pytest.raises(UserError, match="rows 7 are not trained in this cache"):
        write_strip(TABLES["table3"], lab, tmp_path / "strip.jpg")
    assert not list(tmp_path.iterdir())
