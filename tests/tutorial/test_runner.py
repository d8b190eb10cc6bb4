"""The strict runner, on small notebooks made here: each case that papermill alone would let pass must fail."""

import json
import os
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from v2ir_lib.cli import main
from v2ir_lib.errors import UserError
from v2ir_lib.tutorial import runner
from v2ir_lib.tutorial.outcome import BUDGETS
from v2ir_lib.tutorial.runner import find_notebooks, run_notebook, run_notebooks

PARAMETERS = {"PROFILE": "tiny", "BUDGET": "check"}
DECLARED = 'PROFILE = "tiny"  # tiny or full\nBUDGET = "learn"  # check, learn or paper'
FINISH = "from v2ir_lib.tutorial import finish\nfinish()"


def write(folder, name, *cells, parameters=DECLARED):
    """A notebook of code cells behind a parameters cell; a cell is its source, or (source, tag)."""
    made = [new_code_cell(parameters, metadata={"tags": ["parameters"]})] if parameters else []
    for cell in cells:
        source, *tags = cell if isinstance(cell, tuple) else (cell,)
        made.append(new_code_cell(source, metadata={"tags": tags}))
    notebook = new_notebook(cells=[new_markdown_cell(f"# The {name} one"), *made])
    notebook.metadata.clear()  # as nbstripout leaves it: nothing says which kernel
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def run(path, tmp_path, limit=None, parameters=PARAMETERS):
    return run_notebook(path, tmp_path / "out.ipynb", parameters, limit)


def test_a_good_notebook_passes_and_leaves_something_to_look_at(tmp_path, monkeypatch):
    # A registered kernel of the usual name, of another project: must not be used.
    other = tmp_path / "jupyter" / "kernels" / "python3"
    other.mkdir(parents=True)
    spec = {"argv": ["false", "{connection_file}"], "display_name": "other", "language": "python"}
    (other / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    path = write(
        tmp_path,
        "good",
        "import base64, os, sys\nfrom IPython.display import Image, display\n"
        "from v2ir_lib.tutorial import finish, record\nfrom PIL import Image as Picture\n"
        "Picture.new('RGB', (40, 20), 'red').save('red.png')\ndisplay(Image('red.png'))",
        "record('budget', BUDGET)\nrecord('half', 0.5)\nrecord('python', sys.executable)",
        "finish()",
    )
    out = tmp_path / "out"
    lines = []
    (outcome,) = run_notebooks([path], out, PARAMETERS, limit=60, say=lines.append)
    assert outcome.ok, outcome.error
    assert outcome.figures == {"budget": "check", "half": 0.5, "python": sys.executable}
    assert outcome.peak_memory > 2**20
    assert (tmp_path / "red.png").exists()  # it ran in its own folder, as in JupyterLab
    assert len(lines) == 2 and "good" in lines[0] and "ok" in lines[1]
    recorded = json.loads((out / "figures.json").read_text())
    assert recorded["parameters"] == PARAMETERS
    assert recorded["notebooks"]["good"]["figures"]["half"] == 0.5
    index = (out / "index.html").read_text()
    assert "The good one" in index and "data:image/jpeg;base64," in index and 'href="good.html"' in index
    assert 'src="http' not in index and 'href="http' not in index
    assert "red.png" in (out / "good.html").read_text()


REFUSED = {
    "misspelt parameter": (dict(parameters='PROFIL = "tiny"\nBUDGET = "learn"'), ["1 / 0"], "no parameter PROFILE", 2),
    "no parameters tag": (dict(parameters=None), [DECLARED, FINISH], "tagged 'parameters'", None),
    "two parameters tags": ({}, [(DECLARED, "parameters")], "second cell", 3),
    "raises-exception": ({}, [("1 / 0", "raises-exception"), FINISH], "raises-exception", 3),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_before_it_runs(case, tmp_path):
    settings, cells, message, cell = REFUSED[case]
    outcome = run(write(tmp_path, "refused", *cells, **settings), tmp_path)
    assert message in outcome.error
    assert outcome.cell == cell
    assert not (tmp_path / "out.ipynb").exists()


RUNS_AND_FAILS = {
    "an error": (["x = 1", "raise ValueError('first line\\nlast line')", FINISH], "ValueError: last line", 4),
    "sys.exit in the middle": (["import sys\nsys.exit(0)", FINISH], "ended early", 4),
    "sys.exit in the last cell": (["import sys", f"sys.exit(0)\n{FINISH}"], "finish()", None),
    "a cell that is skipped": ([("x = 1", "skip-execution"), FINISH], "ended early", 3),
    "no finish": (["x = 1"], "finish()", None),
    "a killed kernel": (["import os\nos.kill(os.getpid(), 9)", FINISH], "kernel died", 3),
}


@pytest.mark.parametrize("case", RUNS_AND_FAILS)
def test_fails_naming_the_cell_and_the_last_line(case, tmp_path):
    cells, message, cell = RUNS_AND_FAILS[case]
    outcome = run(write(tmp_path, "fails", *cells), tmp_path)
    assert not outcome.ok
    assert message in outcome.error and "\n" not in outcome.error
    assert outcome.cell == cell
    assert (tmp_path / "out.ipynb").exists() and (tmp_path / "out.html").exists()  # to see how far it came


STUB = """from v2ir_lib.tutorial import check, close_to
def half(x):
    return NotImplemented
check('1', lambda: half(3), {})"""
FOLDED = "<details><summary>Solution</summary>\n\n```python\ndef half(x):\n    return x / {}\n```\n</details>"


@pytest.mark.parametrize(
    "judge, divisor, message",
    [
        ("close_to(1.5)", 2, ""),
        ("close_to(1.5)", 3, "the solution does not pass"),
        ("lambda answer: None", 2, "takes -12345.678 for right"),
        ("close_to(1.5)", None, "no folded solution"),
    ],
)
def test_exercises_take_their_solutions_and_nothing_else(judge, divisor, message, tmp_path):
    path = write(tmp_path, "exercise", (STUB.format(judge), "exercise"), FINISH)
    assert divisor != 2 or message or run(path, tmp_path).ok  # not attempted: fine for a learner
    notebook = nbformat.read(path, as_version=4)
    if divisor:
        notebook.cells.insert(3, new_markdown_cell(FOLDED.format(divisor)))
    nbformat.write(notebook, path)
    outcome = run_notebook(path, tmp_path / "out.ipynb", PARAMETERS, with_solutions=True)
    assert message in outcome.error and outcome.ok == (not message)
    assert outcome.cell == (3 if message else None)


def test_the_limit_is_on_the_whole_and_kills_what_the_notebook_started(tmp_path):
    pid_file = tmp_path / "pid"
    start = f"import subprocess, time\nopen({str(pid_file)!r}, 'w').write(str(subprocess.Popen(['sleep', '60']).pid))"
    path = write(tmp_path, "slow", start, *["time.sleep(1.5)"] * 40, FINISH)
    began = time.monotonic()
    outcome = run(path, tmp_path, limit=6)  # no cell takes that long, all of them take a minute
    assert time.monotonic() - began < 40
    assert "limit of 6 s" in outcome.error and outcome.cell
    child = int(pid_file.read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    assert not [process for process in psutil.Process().children(recursive=True) if "ipykernel" in process.name()]


def test_one_failure_does_not_stop_the_others_but_the_command_fails(tmp_path, monkeypatch, capsys):
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    write(notebooks, "00_bad", "1 / 0")
    write(notebooks, "01_good", FINISH)
    monkeypatch.setattr(runner, "repo_root", lambda: tmp_path)
    out = tmp_path / "out"
    assert main(["notebooks", "--budget", "check", "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert "00_bad FAILED" in said.out and "cell 3: ZeroDivisionError: division by zero" in said.out
    assert "01_good ok" in said.out
    assert said.err.strip().splitlines()[-1] == "error: 1 of 2 notebooks failed: 00_bad"
    states = {
        name: entry["status"] for name, entry in json.loads((out / "figures.json").read_text())["notebooks"].items()
    }
    assert states == {"00_bad": "failed", "01_good": "ok"}
    assert "ZeroDivisionError" in (out / "index.html").read_text()


def test_slow_is_said_and_is_no_failure_but_a_hang_is(tmp_path, monkeypatch, capsys):
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    write(notebooks, "00_slow", FINISH)
    monkeypatch.setattr(runner, "repo_root", lambda: tmp_path)
    out = ["--out", str(tmp_path / "out")]
    monkeypatch.setitem(BUDGETS, "check", 0.1)
    monkeypatch.setattr("v2ir_lib.tutorial.outcome.PATIENCE", 600)
    assert main(["notebooks", "--budget", "check", *out]) == 0
    said = capsys.readouterr().out
    assert "00_slow ok" in said and "(SLOW)" in said and "no fault by itself: 00_slow" in said
    monkeypatch.setattr("v2ir_lib.tutorial.outcome.PATIENCE", 4)
    assert main(["notebooks", "--budget", "check", *out]) == 1
    assert "stopped at the limit of 0.4 s" in capsys.readouterr().out
    assert main(["notebooks", "--budget", "check", "--timeout", "60", *out]) == 0
    said = capsys.readouterr().out
    assert "SLOW" not in said and "slower" not in said and "60 s at most" in said


def test_two_at_a_time_are_as_one_at_a_time(tmp_path, monkeypatch):
    """The same outcomes, in reading order; each kernel has its share of the cores, this process stays where it is."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    share = "import os\nfrom v2ir_lib.tutorial import record\nrecord('threads', os.environ.get('OMP_NUM_THREADS'))"
    paths = [write(tmp_path, "00_good", share, FINISH), write(tmp_path, "01_bad", "1 / 0")]
    here, lines = Path.cwd(), []
    good, bad = run_notebooks(paths, tmp_path / "out", PARAMETERS, limit=60, say=lines.append, jobs=2)
    assert good.ok and good.name == "00_good" and good.figures == {"threads": str(max(1, (os.cpu_count() or 1) // 2))}
    assert bad.cell == 3 and "ZeroDivisionError" in bad.error
    assert Path.cwd() == here and (tmp_path / "out" / "00_good.html").is_file()
    assert "2 at a time" in lines[0] and [line[:6] for line in lines[1:]] == ["[1/2] ", "[2/2] "]


def test_names(tmp_path):
    for name in ("00_start", "01_why", "10_end"):
        write(tmp_path, name)

    def names(*wanted):
        return [path.stem for path in find_notebooks(list(wanted), tmp_path)]

    assert names() == ["00_start", "01_why", "10_end"]
    assert names("00") == ["00_start"]
    assert names("10", "01_why.ipynb", "10_end") == ["10_end", "01_why"]
    assert names(str(tmp_path / "00_start.ipynb")) == ["00_start"]
    for wrong in ("42", "0_", "", "nowhere.ipynb"):
        with pytest.raises(UserError, match="01_why"):
            names("00", wrong)
    with pytest.raises(UserError, match="no notebooks"):
        find_notebooks([], tmp_path / "empty")


def test_a_damaged_notebook_is_one_line(tmp_path):
    path = tmp_path / "damaged.ipynb"
    path.write_text('{"cells": [')
    outcome = run(path, tmp_path)
    assert "not a notebook" in outcome.error and "\n" not in outcome.error


def test_stale_results_are_not_taken_for_new_ones(tmp_path):
    (tmp_path / "out.ipynb").write_text("{}")
    (tmp_path / "out.html").write_text("old")
    run(write(tmp_path, "refused", parameters=None), tmp_path)
    assert not (tmp_path / "out.ipynb").exists() and not (tmp_path / "out.html").exists()


def test_the_budgets_are_those_the_notebooks_promise():
    assert BUDGETS == {"check": 60, "learn": 180, "paper": None}


@pytest.mark.skipif(os.name == "nt", reason="the shell's exit code")
def test_bad_options_are_one_line(capsys):
    for arguments, message in (
        (["--budget", "all"], "unknown budget 'all'"),
        (["--profile", "huge"], "unknown profile 'huge'"),
        (["--timeout", "-3"], "--timeout"),
        (["--timeout", "nan"], "--timeout"),
    ):
        assert main(["notebooks", *arguments]) == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1
