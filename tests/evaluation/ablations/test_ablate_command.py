"""`v2ir ablate`: what it refuses, where results go, and what a plan says."""

import json
from pathlib import Path

import pytest

from v2ir_lib.cli import main
from v2ir_lib.evaluation.ablations import command
from v2ir_lib.evaluation.ablations.command import LEAKAGE, results_folder
from v2ir_lib.files import repo_root


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["table3", "--dry-run", "--rows", "1,10"], "no row '10'"),
        (["table4", "--dry-run", "--rows", ","], "no rows are named"),
        (["table3", "--dry-run", "--budget", "much"], "unknown budget 'much': choose one of check, learn, paper"),
        (["conditions", "--dry-run", "--seeds", "0"], "--seeds is 0"),
        (["table1", "--budget", "none"], "unknown budget"),
    ],
)
def test_bad_input_is_one_line(arguments, said, capsys):
    assert main(["ablate", *arguments]) == 2
    output = capsys.readouterr()
    assert output.err.startswith("error: ") and output.err.count("\n") == 1 and said in output.err


def test_a_plan_says_what_is_shared_and_how_long_it_takes(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("V2IR_CACHE", str(tmp_path / "cache"))
    assert main(["ablate", "table3", "--dry-run", "--seeds", "2", "--out", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["jobs"]) == 2 * (9 + 13)
    assert sum(job["seconds"] for job in told["jobs"]) == pytest.approx(told["seconds"], abs=3)
    assert 2 * 30 * 60 < told["seconds"] < 2 * 3 * 3600
    assert not (tmp_path / "cache").exists() and not (tmp_path / "table3").exists(), "a plan does nothing"


@pytest.mark.parametrize("asked, extra, own", [([], 1, 3), (["--seeds", "2"], 2, 2)])
def test_rows_that_the_plan_trains_once_are_trained_more_often_when_asked(
    asked, extra, own, capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("V2IR_CACHE", str(tmp_path / "cache"))
    arguments = ["ablate", "table3", "--rows", "9,oracle,unet", "--dry-run", "--out", str(tmp_path), "--json", *asked]
    assert main(arguments) == 0
    rows = [
        job["what"].split(":")[0] for job in json.loads(capsys.readouterr().out)["jobs"] if "translat" in job["what"]
    ]
    assert [rows.count(f"row {name}") for name in ("9", "oracle", "unet")] == [own, extra, extra]


def test_only_the_real_thing_goes_to_results(tmp_path):
    assert results_folder("paper", None) == repo_root() / "results"
    assert results_folder("check", None) == repo_root() / "out" / "ablations" / "check"
    assert results_folder("paper", tmp_path) == tmp_path


def test_table_1_is_its_own_experiment(monkeypatch, tmp_path):
    import sys
    import types

    asked = {}
    module = types.ModuleType("v2ir_lib.evaluation.table1")
    module.measure = lambda folder, **options: asked.update(options, folder=folder) or {"rows": 1}
    module.summary = lambda report: ["a line"]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("v2ir_lib.evaluation.table1", module, raising=False)
    report, lines = command.ablate_table1(seeds=2, budget="check", out=tmp_path)
    assert report == {"rows": 1} and lines[0] == "a line" and lines[-1].endswith(str(Path("table1.json")))
    assert asked == LEAKAGE["check"] | {"seeds": 2, "folder": tmp_path}
