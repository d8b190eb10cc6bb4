"""Files of expected figures: the shipped ones reject 0, NaN and a broken library; reading, updating, the command."""

import json
from datetime import date

import pytest

from v2ir_lib.cli import main
from v2ir_lib.errors import UserError
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.tutorial import runner
from v2ir_lib.tutorial.drift import EXACT, accepts, is_number, leaves, with_leaf
from v2ir_lib.tutorial.expected import COMPARED, broken_faults, expected_path, figures_for, is_compared, read_expected
from v2ir_lib.tutorial.expected import update as rewrite
from v2ir_lib.tutorial.runner import Outcome

FOLDER = repo_root() / "tests" / "expected"
FILES = sorted(FOLDER.glob("*.json"))

# --- the shipped files -------------------------------------------------------------------------------------------


def test_every_file_is_of_a_notebook():
    assert FILES
    notebooks = {path.stem for path in (repo_root() / "notebooks").glob("*.ipynb")}
    assert {path.stem for path in FILES} <= notebooks


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_tolerance_rejects_0_and_nan(path):
    expected = read_expected(path)
    for budget in COMPARED:
        figures = figures_for(expected, budget)
        assert figures, f"no figures for {budget}"
        for name, entry in figures.items():
            numbers = [(place, leaf) for place, leaf in leaves(entry["value"]) if is_number(leaf)]
            assert accepts(entry["value"], entry["value"], entry["tolerance"])
            for place, leaf in numbers:
                for wrong in (float("nan"), 0 if leaf else 1):  # a count of 0 is not 1, a share of 0 is not all
                    found = with_leaf(entry["value"], place, wrong)
                    assert not accepts(entry["value"], found, entry["tolerance"]), (budget, name, place, wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_tolerance_has_its_reason_and_rejects_a_broken_library(path):
    expected = read_expected(path)
    for name, entry in expected["figures"].items():
        assert len(entry["reason"]) > 5 and set(entry["values"]) <= set(COMPARED), name
    assert expected["updates"] and all(told["reason"] and told["date"] for told in expected["updates"])
    assert broken_faults(expected) == []
    for broken in expected["broken"]:
        assert broken["what"] and broken["replace"] != broken["by"] and broken["figures"]
        assert (repo_root() / broken["file"]).is_file()


# --- reading and rewriting ---------------------------------------------------------------------------------------


def made(**figures):
    """A file's content: figure → (tolerance, value in check)."""
    entries = {
        name: {"tolerance": tolerance, "reason": "as measured", "values": {"check": value}}
        for name, (tolerance, value) in figures.items()
    }
    return {"figures": entries, "broken": [], "updates": []}


@pytest.mark.parametrize(
    "content, why",
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"figures": {}}', "broken"),
        ('{"figures": {"x": {}}, "broken": [], "updates": []}', "damaged"),
        (json.dumps(made(x=({"absolute": 2}, 1.5))), "takes 0 for 1.5"),
    ],
)
def test_a_bad_file_is_one_line(content, why, tmp_path):
    path = tmp_path / "00.json"
    path.write_text(content)
    with pytest.raises(UserError, match=why) as told:
        read_expected(path)
    assert "\n" not in str(told.value) and "00.json" in str(told.value)


def test_update_rewrites_what_drifted_and_nothing_else(tmp_path):
    path = tmp_path / "00.json"
    before = made(kept=({"absolute": 0.5}, 10.0), drifted=({"relative": 0.1}, 4.0), gone=(EXACT, "x"), both=(EXACT, 1))
    before["figures"]["both"]["values"]["learn"] = 2
    write_json(path, before)
    found = {"kept": 10.4, "drifted": 5.0, "new": 0.25, "count": 0, "both": 1}
    lines = rewrite(path, "check", found, "a larger model")
    assert [line.split(":")[0] for line in lines[:4]] == ["drifted", "new", "count", "gone"]
    assert "no broken value yet" in lines[4] and len(lines) == 5
    after = read_expected(path)
    assert after["figures"]["kept"] == before["figures"]["kept"], "within tolerance: not creeping away"
    assert after["figures"]["drifted"] == before["figures"]["drifted"] | {"values": {"check": 5.0}}
    assert after["figures"]["both"]["values"] == {"check": 1, "learn": 2}
    assert "gone" not in after["figures"]
    assert after["figures"]["new"]["tolerance"] == {"relative": 0.05} and "5%" in lines[1] and "default" in lines[1]
    assert after["figures"]["count"]["tolerance"] == EXACT
    (told,) = after["updates"]
    assert told["reason"] == "a larger model" and told["date"] == date.today().isoformat() and told["budget"] == "check"
    assert set(told["figures"]) == {"drifted", "new", "count", "gone"}
    text = path.read_bytes()
    rewrite(path, "check", found, "again")
    assert path.read_bytes() == text, "nothing drifted, nothing written"


def test_update_of_one_budget_leaves_the_other(tmp_path):
    path = tmp_path / "00.json"
    write_json(path, made(x=(EXACT, 3), y=(EXACT, 1)))
    rewrite(path, "learn", {"x": 4}, "first values of learn")
    expected = read_expected(path)
    assert expected["figures"]["x"]["values"] == {"check": 3, "learn": 4}
    assert expected["figures"]["y"]["values"] == {"check": 1}
    assert figures_for(expected, "learn") == {"x": {"value": 4, "tolerance": EXACT}}


def test_a_tolerance_that_fits_a_new_value_no_more_is_replaced(tmp_path):
    path = tmp_path / "00.json"
    write_json(path, made(x=({"absolute": 0.5}, 1.5)))
    rewrite(path, "check", {"x": 0.25}, "smaller")
    entry = read_expected(path)["figures"]["x"]
    assert entry["tolerance"] == {"relative": 0.05} and "default" in entry["reason"]


def test_a_broken_value_that_is_taken_is_told():
    expected = made(x=({"absolute": 0.5}, 1.5))
    broken = {"what": "scales swapped", "budget": "check", "figures": {"x": 1.4, "y": 1}}
    first, second = broken_faults(expected | {"broken": [broken]})
    assert "takes 1.4" in first and "scales swapped" in first and "y is no figure" in second
    assert broken_faults(expected | {"broken": [broken | {"figures": {"x": 4.0}}]}) == []
    assert len(broken_faults(expected)) == 1, "none at all"


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A repository with two notebooks, whose run is a stand-in: gives the figures that it is told to."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "tests" / "expected").mkdir(parents=True)
    for name in ("00_one", "01_two"):
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text("{}")
    figures = {"00_one": {"x": 1.5}, "01_two": {"n": 3}}

    def run(path, *_, **__):
        recorded = figures[path.stem]
        return Outcome(path.stem, figures=recorded) if recorded else Outcome(path.stem, error="it failed")

    monkeypatch.setattr(runner, "repo_root", lambda: tmp_path)
    monkeypatch.setattr(runner, "run_notebook", run)
    return tmp_path, figures


def command(folder, *arguments):
    return main(["notebooks", *arguments, "--out", str(folder / "out")])


def test_the_command_compares_and_fails_on_drift(house, capsys):
    folder, figures = house
    assert command(folder, "--update", "--reason", "first figures") == 0
    capsys.readouterr()
    assert command(folder) == 0
    assert "figures of 2 notebooks: 2 as expected, 0 drifted" in capsys.readouterr().out
    figures["00_one"]["x"] = 1.7
    assert command(folder) == 1
    said = capsys.readouterr()
    assert "00_one drifted" in said.out and "1 DRIFTED" in said.out and "01_two ok" in said.out
    assert "figures of 2 notebooks: 1 as expected, 1 drifted" in said.out
    assert "00_one    x       1.5       ± 5%       1.7" in said.out
    assert said.err.count("\n") == 1 and 'v2ir notebooks 00 --budget check --update --reason "…"' in said.err
    told = json.loads((folder / "out" / "figures.json").read_text())["notebooks"]
    assert told["00_one"]["status"] == "drifted" and told["00_one"]["drifts"][0]["found"] == "1.7"
    assert told["01_two"]["status"] == "ok" and told["01_two"]["drifts"] == []
    assert "expected 1.5" in (folder / "out" / "index.html").read_text()
    assert command(folder, "00", "--update", "--reason", "meant") == 0
    assert "rewritten, tolerance ± 5% as before" in capsys.readouterr().out
    assert command(folder) == 0


def test_what_has_no_expected_figures_is_said_or_passed_over(house, capsys):
    folder, _ = house
    command(folder)
    said = capsys.readouterr()
    assert "no expected figures for 00" in said.out + said.err
    command(folder, "--update", "--reason", "first figures")
    capsys.readouterr()
    for elsewhere in (("--budget", "paper"), ("--profile", "full")):
        assert command(folder, *elsewhere) == 0
        assert "figures of" not in (said := capsys.readouterr()).out and not said.err, "not compared"
    command(folder, "--budget", "learn")
    said = capsys.readouterr()
    assert "no expected figures for 00" in said.out + said.err, "known for check only"


def test_a_failed_notebook_is_neither_compared_nor_taken_over(house, capsys):
    folder, figures = house
    figures["00_one"] = {}
    assert command(folder, "--update", "--reason", "first figures") == 1
    assert "1 of 2 notebooks failed: 00_one" in capsys.readouterr().err
    assert [path.name for path in (folder / "tests" / "expected").iterdir()] == ["01_two.json"]
    figures["01_two"] = {}
    command(folder)
    told = json.loads((folder / "out" / "figures.json").read_text())["notebooks"]["01_two"]
    assert told["status"] == "failed" and told["drifts"] is None, "not compared, though its figures are known"


@pytest.mark.parametrize(
    "arguments, why",
    [
        (("--update",), "--reason"),
        (("--update", "--reason", "  "), "--reason"),
        (("--reason", "no update"), "--update"),
        (("--update", "--reason", "x", "--budget", "paper"), "only --profile tiny"),
        (("--update", "--reason", "x", "--profile", "full"), "only --profile tiny"),
    ],
)
def test_a_reason_and_an_update_go_together(house, capsys, arguments, why):
    folder, _ = house
    assert command(folder, *arguments) == 2
    said = capsys.readouterr().err
    assert why in said and said.count("\n") == 1
    assert not (folder / "out").exists(), "said before anything runs"


def test_a_damaged_file_is_said_before_anything_runs(house, capsys):
    folder, _ = house
    (folder / "tests" / "expected" / "01_two.json").write_text("{")
    assert command(folder) == 2
    said = capsys.readouterr()
    assert "01_two.json is damaged" in said.err and said.err.count("\n") == 1 and not said.out


def test_which_runs_are_compared(tmp_path):
    assert is_compared({"PROFILE": "tiny", "BUDGET": "learn"})
    assert is_compared({"PROFILE": "tiny", "BUDGET": "check", "SEED": 0})
    for other in ({"BUDGET": "paper"}, {"PROFILE": "full"}, {"SEED": 1}):
        assert not is_compared({"PROFILE": "tiny", "BUDGET": "check"} | other)
    assert expected_path(tmp_path / "notebooks" / "mine.ipynb") is None, "no expected figures beside it"
    found = expected_path(repo_root() / "notebooks" / "00_quickstart.ipynb")
    assert found == FOLDER / "00_quickstart.json"
