"""Notebooks, headless and strict: what papermill passes in silence is an error here.

| case | papermill | here |
| --- | --- | --- |
| a parameter that the notebook does not have | runs with the default | refused before it runs |
| no cell tagged `parameters` | runs with the default | refused before it runs |
| a cell tagged `raises-exception` | may fail unseen | refused before it runs |
| `sys.exit()` half-way | green, the rest never runs | every cell must have run, in order, and `finish()` |
| many slow cells | the limit is per cell | one wall-clock limit for the whole; the kernel is killed |
| slower than it should be | not noticed | said, and no failure: that may be the machine |
| other figures than before | not noticed | compared with `tests/expected/`, see `drift` |
"""

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import nbformat

from v2ir_lib.errors import UserError
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.tutorial import solutions
from v2ir_lib.tutorial.expected import drifts_of, is_compared
from v2ir_lib.tutorial.kernel import KERNEL_NAME, Kernel
from v2ir_lib.tutorial.outcome import Outcome
from v2ir_lib.tutorial.pages import write_index, write_page
from v2ir_lib.tutorial.record import VARIABLE, read_record


class NotebookError(Exception):
    """A notebook broke a rule; `cell` counts from 1."""

    def __init__(self, message: str, cell: int | None = None):
        super().__init__(message)
        self.cell = cell


def find_notebooks(names: list[str], folder: Path | None = None) -> list[Path]:
    """The notebooks that `names` mean, in reading order; none named: all. `UserError` for a name that matches none.

    A name is a path, a file name with or without .ipynb, or its beginning ("00", "04_plm").
    """
    folder = folder or repo_root() / "notebooks"
    every = sorted(path for path in folder.glob("*.ipynb") if not path.name.startswith("."))
    if not every and not any(Path(name).is_file() for name in names):
        raise UserError(f"there are no notebooks in {folder}")
    chosen = []
    for name in names:
        found = [path for path in every if path.stem == name.removesuffix(".ipynb")]
        found = found or [path for path in every if path.stem.startswith(name)]
        if not found and name.endswith(".ipynb") and Path(name).is_file():
            found = [Path(name).resolve()]
        if not name or not found:
            known = ", ".join(path.stem for path in every)
            raise UserError(f"no notebook is called {name!r}; there are: {known}")
        chosen += found
    return list(dict.fromkeys(chosen)) or every


def run_notebooks(
    notebooks: list[Path],
    out: Path,
    parameters: dict,
    limit: float | None = None,
    with_solutions: bool = False,
    say=print,
    aim: float | None = None,
    jobs: int = 1,
) -> list[Outcome]:
    """Run each notebook in a kernel of this very interpreter; write executed copies, pages, an index and the figures.

    `limit` and `aim`: seconds, for each; after the one it is killed, after the other called slow. `jobs` run at a
    time, each with its share of the cores. `with_solutions` puts the exercises' solutions in and sees them pass.
    Figures are compared with the expected ones where there are such for these parameters.
    In `out`: NAME.ipynb and NAME.html for each, index.html, figures.json. One that fails does not stop the others.
    `UserError`, before anything runs, for a damaged file of expected figures.
    """
    for path in notebooks if is_compared(parameters) else ():
        drifts_of(path, parameters["BUDGET"], {})
    out.mkdir(parents=True, exist_ok=True)
    settings = ", ".join(f"{key}={value}" for key, value in parameters.items())
    settings += f", should take {aim:.0f} s at most" if aim else f", {limit:.0f} s at most" if limit else ""
    run = partial(run_notebook, parameters=parameters, limit=limit, with_solutions=with_solutions)
    work = [(path, out / path.name) for path in notebooks]
    ran = _one_by_one(run, work, settings, say) if jobs == 1 else _side_by_side(run, work, settings, say, jobs)
    done: dict[Path, Outcome] = {}
    for path, outcome in ran:
        outcome.aim = aim
        if outcome.ok and is_compared(parameters):
            outcome.drifts = drifts_of(path, parameters["BUDGET"], outcome.figures)
        done[path] = outcome
        say(f"[{len(done)}/{len(notebooks)}] {path.stem} {_how_it_went(outcome)}")
    outcomes = [done[path] for path in notebooks]
    titles = {path.stem: title_of(path) for path in notebooks}
    write_index(out, outcomes, titles, parameters)
    write_json(
        out / "figures.json",
        {"parameters": parameters, "notebooks": {outcome.name: outcome.as_dict() for outcome in outcomes}},
    )
    return outcomes


def _how_it_went(outcome: Outcome) -> str:
    if not outcome.ok:
        where = f", cell {outcome.cell}" if outcome.cell else ""
        return f"FAILED after {outcome.seconds:.0f} s{where}: {outcome.error}"
    cost = f"{outcome.seconds:.0f} s{' (SLOW)' if outcome.slow else ''}, {outcome.peak_memory / 2**30:.1f} GB"
    drifted = {drift.figure for drift in outcome.drifts or ()}
    told = f"{len(outcome.figures)} figures recorded" + (f", {len(drifted)} DRIFTED" if drifted else "")
    return f"{outcome.status}: {cost}, {told}"


def _one_by_one(run: Callable, work: list, settings: str, say) -> Iterator[tuple[Path, Outcome]]:
    for number, (path, executed) in enumerate(work, 1):
        say(f"[{number}/{len(work)}] {path.stem} ({settings}) …")
        yield path, run(path, executed)


def _side_by_side(run: Callable, work: list, settings: str, say, jobs: int) -> Iterator[tuple[Path, Outcome]]:
    """As they come. Each in a process of its own, since papermill changes the folder of the one that it runs in."""
    say(f"{len(work)} notebooks, {jobs} at a time ({settings}) …")
    with ProcessPoolExecutor(jobs, get_context("spawn"), _share_cores, (jobs,)) as pool:
        running = {pool.submit(run, *one): one[0] for one in reversed(work)}  # later chapters take longest: not last
        try:
            for future in as_completed(running):
                yield running[future], _result(future, running[future])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # Ctrl-C: what has not begun does not begin


def _result(future: Future, path: Path) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        return Outcome(path.stem, "the process that ran it died: out of memory? Try --jobs 1")


def _share_cores(jobs: int) -> None:
    """Kernels of this process take their share of the cores, or they wait for one another."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))


def run_notebook(
    path: Path, executed: Path, parameters: dict, limit: float | None = None, with_solutions: bool = False
) -> Outcome:
    """Run one notebook under the rules above; the executed copy is there even when it fails half-way."""
    outcome = Outcome(path.stem)
    started = time.monotonic()
    for stale in (executed, executed.with_suffix(".html")):
        stale.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="v2ir-notebook-") as scratch:
        figures = Path(scratch) / "figures.json"
        try:
            notebook = _read(path)
            _check_rules(notebook, parameters)
            if with_solutions:
                _put_solutions_in(notebook)
            with Kernel({VARIABLE: str(figures)}, scratch, limit) as kernel:
                try:
                    _execute(notebook, executed, parameters, path.parent, kernel)
                finally:
                    outcome.peak_memory = kernel.peak_memory
            _check_all_ran(executed, read_record(figures)["finished"], with_solutions)
        except NotebookError as error:
            outcome.error, outcome.cell = str(error), error.cell
        outcome.figures = read_record(figures)["figures"]
    outcome.seconds = time.monotonic() - started
    if executed.exists():
        write_page(executed)
    return outcome


def title_of(path: Path) -> str:
    """The first heading of a notebook, or its file name."""
    try:
        cells = nbformat.read(path, as_version=4).cells
    except Exception:
        return path.stem
    for cell in cells:
        heading = re.search(r"^#+ +(.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
        if heading:
            return heading[1].strip()
    return path.stem


# --- the rules ---------------------------------------------------------------------------------------------------


def _read(path: Path) -> nbformat.NotebookNode:
    try:
        notebook = nbformat.read(path, as_version=4)
    except OSError as error:
        raise NotebookError(f"cannot be read: {error.strerror}") from error
    except Exception as error:  # nbformat raises many kinds
        raise NotebookError(f"is not a notebook: {str(error).splitlines()[0]}") from error
    # A stripped notebook need not say what runs it, and papermill fails if nobody does.
    notebook.metadata["kernelspec"] = {"name": KERNEL_NAME, "display_name": "Python 3", "language": "python"}
    return notebook


def _check_rules(notebook: nbformat.NotebookNode, parameters: dict) -> None:
    """Everything that can be said before running: `NotebookError`."""
    import papermill

    tagged = []
    for number, cell in enumerate(notebook.cells, 1):
        tags = cell.metadata.get("tags", [])
        if "raises-exception" in tags:
            raise NotebookError("the tag raises-exception is forbidden: it hides failures", number)
        if "parameters" in tags:
            tagged.append(number)
    if not tagged:
        raise NotebookError("no cell is tagged 'parameters', so nothing could be passed to it")
    if len(tagged) > 1:
        raise NotebookError("a second cell is tagged 'parameters'", tagged[1])
    known = papermill.inspect_notebook(notebook)
    for name in parameters:
        if name not in known:
            raise NotebookError(f"it has no parameter {name}; it has: {', '.join(known) or 'none'}", tagged[0])


def _execute(notebook, executed: Path, parameters: dict, folder: Path, kernel: Kernel) -> None:
    import papermill
    from nbclient.exceptions import DeadKernelError

    try:
        papermill.execute_notebook(
            notebook,
            executed,
            parameters,
            kernel_name=KERNEL_NAME,
            language="python",
            cwd=folder,
            progress_bar=sys.stderr.isatty(),
            km=kernel.manager,
        )
    except papermill.PapermillExecutionError as error:
        number = _number_in_source(notebook, error.source)
        last = (error.evalue.strip().splitlines() or [""])[-1]
        raise NotebookError(f"{error.ename}: {last}".rstrip(": "), number) from error
    except RuntimeError as error:
        number = _last_started(executed, notebook)
        if kernel.timed_out:
            raise NotebookError(f"stopped at the limit of {kernel.limit:g} s", number) from error
        if isinstance(error, DeadKernelError):
            raise NotebookError("the kernel died: out of memory, or a crash in a library", number) from error
        raise NotebookError(f"the kernel did not start: {str(error).splitlines()[0]}") from error


def _put_solutions_in(notebook) -> None:
    for number, cell in enumerate(notebook.cells, 1):
        if solutions.is_exercise(cell):
            try:
                solutions.put_in(cell, notebook.cells[number : number + 1])
            except (ValueError, SyntaxError) as error:
                raise NotebookError(str(error), number) from error


def _check_all_ran(executed: Path, finished: bool, with_solutions: bool) -> None:
    """Every code cell has run, in order; exercises came out as they must; the notebook said that it is at its end."""
    last, number = 0, 0  # papermill puts one cell of its own behind the parameters: not counted
    for cell in nbformat.read(executed, as_version=4).cells:
        own = "injected-parameters" in cell.metadata.get("tags", [])
        number += not own
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if cell.execution_count is None:
            raise NotebookError("it ended early: this cell never ran", number)
        if cell.execution_count <= last:
            raise NotebookError("its cells did not run in order", number)
        last = cell.execution_count
        if with_solutions and solutions.is_exercise(cell) and (complaint := solutions.complaint(cell)):
            raise NotebookError(complaint, number)
    if not finished:
        raise NotebookError("it did not reach finish(), which belongs into its last cell")


def _number_in_source(notebook, source: str) -> int | None:
    """Which cell of the notebook, counted from 1, holds this source."""
    return next((number for number, cell in enumerate(notebook.cells, 1) if cell.source == source), None)


def _last_started(executed: Path, notebook) -> int | None:
    """The cell that a killed kernel was in, by papermill's notes in the executed copy."""
    if not executed.exists():
        return None
    cells = nbformat.read(executed, as_version=4).cells
    started = [cell for cell in cells if cell.metadata.get("papermill", {}).get("start_time")]
    return _number_in_source(notebook, started[-1].source) if started else None
