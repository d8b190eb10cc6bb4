"""`make tables`: a result is of the weights that are shipped, or it is made again."""

import importlib.util
import json

import pytest
from PIL import Image

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation import tables
from v2ir_lib.evaluation.tables import ALL, RESULTS, WITHOUT_WEIGHTS, Made, chosen, hash_now, hashes_of, outdated, why

NAMES = {made.name for made in ALL}
THERE = [made for made in ALL if (RESULTS / made.name).is_file()]


def test_every_result_is_made_by_a_command_or_is_of_no_weights():
    unknown = [path.name for path in RESULTS.glob("*.json") if path.name not in NAMES | WITHOUT_WEIGHTS.keys()]
    assert not unknown, f"{unknown}: name what makes them in evaluation/tables.py, or why they are of no weights"
    assert not NAMES & WITHOUT_WEIGHTS.keys() and len(NAMES) == len(ALL)


@pytest.mark.parametrize("name", [path.name for path in RESULTS.glob("*.json") if path.name in WITHOUT_WEIGHTS])
def test_what_is_of_no_weights_names_none(name):
    assert hashes_of(json.loads((RESULTS / name).read_text(encoding="utf-8"))) == {}


@pytest.mark.parametrize("made", THERE, ids=lambda made: made.name)
def test_a_result_is_of_the_weights_that_are_shipped(made):
    reason = why(made)
    assert reason is None or reason.startswith("lacks"), f"results/{made.name} {reason}: make tables"


@pytest.mark.parametrize("made", [made for made in THERE if made.name.endswith(".json")], ids=lambda made: made.name)
def test_another_hash_of_any_of_its_weights_is_seen(made):
    told = hashes_of(json.loads((RESULTS / made.name).read_text(encoding="utf-8")))
    for name in told:
        assert outdated(told, lambda asked, name=name: "0" * 64 if asked == name else told[asked]) == [name]


@pytest.mark.parametrize("made", ALL, ids=lambda made: made.name)
def test_its_command_exists(made):
    module, *options = made.command
    assert importlib.util.find_spec(module), f"{made.name}: there is no {module}"
    assert made.needs_real == any("real" in option for option in options)


def test_hashes_are_found_wherever_a_result_keeps_them():
    report = {
        "provenance": {"weights_sha256": {"unet/a.safetensors": "1", "pipeline": "2"}},
        "models": {"captioner": "3"},
        "features": {"folder": "models/tiny/clip_vision", "sha256": "4"},
    }
    assert hashes_of(report) == {"unet/a.safetensors": "1", "pipeline": "2", "captioner": "3", "clip_vision": "4"}
    assert hashes_of({"provenance": {"seed": 0}, "features": {"visible": "a latent"}}) == {}


def test_a_hash_is_of_a_file_a_folder_or_the_whole(tmp_path, monkeypatch):
    (tmp_path / "diffv2ir" / "unet").mkdir(parents=True)
    (tmp_path / "captioner").mkdir()
    (tmp_path / "captioner" / "config.json").write_text("{}")
    (tmp_path / "diffv2ir" / "unet" / "weights.safetensors").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing
    assert hash_now("unet/weights.safetensors", tmp_path) == empty
    folder = hash_now("captioner", tmp_path)
    (tmp_path / "captioner" / "config.json").write_text("{ }")
    assert folder is not None and hash_now("captioner", tmp_path) not in (folder, None)
    assert hash_now("no_such_part", tmp_path) is None
    monkeypatch.setattr(tables, "pipeline_hash", lambda folder: f"of {folder.name}")
    assert hash_now("pipeline", tmp_path) == "of diffv2ir"


def result(folder, name, weights):
    (folder / name).write_text(json.dumps({"provenance": {"weights_sha256": weights} if weights else {}}))


def test_why_a_result_is_made_again(tmp_path):
    made, now = Made("probe.json", ("module",)), {"captioner": "1", "tokenizer": "2"}.get
    assert why(made, tmp_path, now) == "is not there"
    result(tmp_path, "probe.json", {"captioner": "1", "tokenizer": "2"})
    assert why(made, tmp_path, now) is None
    result(tmp_path, "probe.json", {"captioner": "1", "tokenizer": "3", "gone": "4"})
    assert why(made, tmp_path, now) == "is of other weights: gone, tokenizer"
    result(tmp_path, "probe.json", None)
    assert why(made, tmp_path, now) == "carries no hash of its weights"


def test_a_table_that_lacks_rows_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("V2IR_CACHE", str(tmp_path / "cache"))
    result(tmp_path, "table4.json", {"unet": "1"})
    made = next(one for one in ALL if one.name == "table4.json")
    assert why(made, tmp_path, lambda name: "1") == "lacks 34 trainings or rows"  # eleven rows thrice, one once
    assert tables.seconds_of(made, tmp_path) > 3600
    assert tables.seconds_of(Made("x.json", (), 2.5)) == 150 and tables.seconds_of(Made("x.json", ())) is None


def test_a_strip_of_other_rows_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(tables.Lab, "row_key", lambda lab, row, seed: f"{row.name}-{seed}")
    picture, made = tmp_path / "strip.jpg", Made("strip.jpg", ())

    def draw(keys):
        Image.new("L", (8, 8)).save(picture, comment=json.dumps({"seed": 2, "keys": keys}))

    draw({"1": "1-2", "unet": "unet-2"})
    assert why(made, tmp_path) is None
    draw({"1": "1-2", "9": "9-0", "unet": "old"})
    assert why(made, tmp_path) == "shows rows of other weights or settings: 9, unet"


@pytest.fixture
def asked(monkeypatch):
    """A pretended list of four results: two to be made, one of them from real pairs, and one that fails."""
    reasons = {"a.json": None, "b.json": "is not there", "c.json": "is of other weights: unet", "d.json": "is old"}
    commands = {"b.json": ("b",), "c.json": ("c", "--real", "{real}/visible"), "d.json": ("d",)}
    every = tuple(Made(name, commands.get(name, ("a",)), 2) for name in reasons)
    monkeypatch.setattr(tables, "ALL", every)
    monkeypatch.setattr(tables, "why", lambda made: reasons[made.name])
    ran = []
    return ran, lambda words: ran.append(words) or int(words[0] == "d")


def test_only_what_is_not_current_is_made_and_all_that_can_be(asked, tmp_path, capsys):
    ran, run = asked
    assert tables.make(None, tmp_path, dry_run=False, run=run) == ["d.json"]
    assert ran == [["b"], ["c", "--real", f"{tmp_path}/visible"], ["d"]]
    said = capsys.readouterr().out
    assert "current: results/a.json" in said and "[2/3] results/c.json is of other weights: unet; about 2 min" in said


def test_without_real_pairs_the_rest_is_made_and_the_lack_is_told(asked, tmp_path, capsys):
    ran, run = asked
    assert tables.make("b, c", tmp_path / "none", dry_run=False, run=run) == ["c.json"]
    assert ran == [["b"]] and "name their folder with --real" in capsys.readouterr().out


def test_a_dry_run_runs_nothing(asked, tmp_path):
    ran, run = asked
    assert tables.make(None, tmp_path, dry_run=True, run=run) == [] and ran == []


def test_the_shipped_models_own_scales_are_chosen_first_and_the_strip_is_drawn_last():
    order = [made.name for made in ALL]
    assert order[0] == "quickstart.json" and "--set-defaults" in ALL[0].command
    assert order.index("figures/table3.jpg") > order.index("table3.json")
    assert [made.name for made in chosen("figures/table3, probe")] == ["probe.json", "figures/table3.jpg"]
    with pytest.raises(UserError, match="no result 'table9': choose among quickstart,"):
        chosen("table9")
