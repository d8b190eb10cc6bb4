"""`v2ir notebooks`: run them headless, compare their figures with the expected ones, or make them the expected ones."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from v2ir_lib.errors import UserError


def notebooks(
    names: Annotated[list[str] | None, typer.Argument(help="Which: 00, 04_plm, a path; none: all.")] = None,
    profile: Annotated[str, typer.Option(help="tiny or full.")] = "tiny",
    budget: Annotated[str, typer.Option(help="check (1 minute each), learn (3 minutes each) or paper.")] = "check",
    out: Annotated[Path, typer.Option(help="Folder for executed copies and index.html.")] = Path("out/notebooks"),
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which each is stopped; 4 times its budget's if not given.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="As many at a time, each with its share of the cores.")] = 1,
    solutions: Annotated[bool, typer.Option("--solutions", help="Exercises too: solutions must pass.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Make what is found the expected figures; needs --reason.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why the figures changed; kept with them.")] = "",
) -> int:
    """Run notebooks headless and strictly; exit code 1 if one fails, or its figures drift from tests/expected/.

    Only profile tiny in check and learn has expected figures. --update rewrites those that drifted and keeps their
    tolerances; a new figure gets a default one: look at it in the file.

    Example:  v2ir notebooks 00 --profile tiny --budget learn --out out/tutorial

    Example:  v2ir notebooks 08 --budget check --update --reason "first figures"
    """
    from v2ir_lib.profiles import get_profile
    from v2ir_lib.tutorial.expected import expected_path, is_compared
    from v2ir_lib.tutorial.outcome import BUDGETS, PATIENCE
    from v2ir_lib.tutorial.runner import find_notebooks, run_notebooks

    if budget not in BUDGETS:
        raise UserError(f"unknown budget {budget!r}: choose one of {', '.join(BUDGETS)}")
    if timeout is not None and not timeout > 0:
        raise UserError(f"--timeout is {timeout:g}: it must be more than 0 seconds")
    if update != bool(reason.strip()):
        raise UserError('--update and --reason "why the figures changed" go together: give both, or neither')
    parameters = {"PROFILE": get_profile(profile).name, "BUDGET": budget}
    if update and not is_compared(parameters):
        raise UserError("--update: only --profile tiny with --budget check or learn has expected figures")
    chosen = find_notebooks(names or [])
    homeless = [path for path in chosen if expected_path(path) is None]
    if update and homeless:
        raise UserError(f"--update: {homeless[0]} is not one of the repository's notebooks, beside tests/expected/")
    seconds = BUDGETS[budget]
    limit = timeout or (seconds and PATIENCE * seconds * jobs)
    aim = None if timeout or jobs > 1 else seconds  # in company its time says as much of its neighbour
    outcomes = run_notebooks(chosen, out, parameters, limit, with_solutions=solutions, aim=aim, jobs=jobs)
    slow = [outcome.name for outcome in outcomes if outcome.slow]
    if slow:
        print(f"slower than the {aim:.0f} s that a notebook should take, no fault by itself: {', '.join(slow)}")
    print(f"executed copies and an index to look at: {out / 'index.html'}")
    complaints = []
    if is_compared(parameters):
        passed = [(path, outcome) for path, outcome in zip(chosen, outcomes, strict=True) if outcome.ok]
        if update:
            _update(passed, budget, reason)
        else:
            complaints = _compared(passed, budget)
    failed = [outcome.name for outcome in outcomes if not outcome.ok]
    if failed:
        complaints.append(f"{len(failed)} of {len(outcomes)} notebooks failed: {', '.join(failed)}")
    for complaint in complaints:
        print(f"error: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


def _compared(passed: list, budget: str) -> list[str]:
    """Print the drift of notebooks that ran, and one line that sums up; returns what makes the command fail."""
    from v2ir_lib.tutorial.drift import table
    from v2ir_lib.tutorial.expected import expected_path

    unknown = [
        f"no expected figures for {_update_line(path.stem, budget)}"
        for path, outcome in passed
        if outcome.drifts is None and expected_path(path) is not None
    ]
    compared = [outcome for _, outcome in passed if outcome.drifts is not None]
    drifted = [outcome for outcome in compared if outcome.drifts]
    if drifted:
        print(table({outcome.name: outcome.drifts for outcome in drifted}))
    if compared:
        off = [{drift.figure for drift in outcome.drifts} for outcome in compared]
        good = sum(len(outcome.figures.keys() - names) for outcome, names in zip(compared, off, strict=True))
        print(f"figures of {_count(compared)}: {good} as expected, {sum(map(len, off))} drifted")
    return unknown + [f"figures drifted; if that is meant, {_update_line(outcome.name, budget)}" for outcome in drifted]


def _update(passed: list, budget: str, reason: str) -> None:
    """Make the figures of notebooks that ran the expected ones, and print what changed and what is left to do."""
    from v2ir_lib.tutorial.expected import expected_path, update

    for path, outcome in passed:
        target = expected_path(path)
        lines = update(target, budget, outcome.figures, reason.strip())
        print(f"{outcome.name}: " + (f"tests/expected/{target.name}" if lines else "as expected, nothing rewritten"))
        for line in lines:
            print(f"  {line}")


def _update_line(name: str, budget: str) -> str:
    number = name.split("_")[0]
    return f'{number}: run  v2ir notebooks {number} --budget {budget} --update --reason "…"'


def _count(notebooks: list) -> str:
    return f"{len(notebooks)} notebook{'' if len(notebooks) == 1 else 's'}"
