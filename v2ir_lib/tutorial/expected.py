"""The figures that each notebook must record: `tests/expected/NAME.json`, read, compared with, and rewritten.

    {"figures": {"psnr": {"tolerance": {"absolute": 0.1}, "reason": "why this tolerance",
                          "values": {"check": 16.6, "learn": 16.9}}, …},
     "broken": [{"what": "…", "file": "…", "replace": "…", "by": "…", "budget": "check", "figures": {"psnr": 9.1}}],
     "updates": [{"date": "2026-01-31", "budget": "learn", "reason": "…", "figures": ["psnr"]}]}

`broken` is what the notebook recorded when the library was broken on purpose, as told: no tolerance may take it. A test
goes over all files and sees that none takes that, 0 or NaN. Only profile tiny with seed 0 has expected figures.
"""

import json
from datetime import date
from pathlib import Path

from v2ir_lib.errors import UserError
from v2ir_lib.files import write_json
from v2ir_lib.tutorial.drift import EXACT, Drift, accepts, compare, default_tolerance, fault, tolerance_text

COMPARED = ("check", "learn")  # budgets that have expected figures


def expected_path(notebook: Path) -> Path | None:
    """Where a notebook's expected figures are or would be; None for one that stands beside no `tests/expected/`."""
    folder = notebook.resolve().parent.parent / "tests" / "expected"
    return folder / f"{notebook.stem}.json" if folder.is_dir() else None


def is_compared(parameters: dict) -> bool:
    """Whether a run with these parameters has expected figures at all."""
    known = parameters.get("PROFILE") == "tiny" and parameters.get("SEED", 0) == 0
    return known and parameters.get("BUDGET") in COMPARED


def read_expected(path: Path) -> dict:
    """A file of expected figures. `UserError` where it is damaged, or a tolerance is none for its value."""
    try:
        expected = json.loads(path.read_text(encoding="utf-8"))
        if missing := {"figures", "broken", "updates"} - set(expected):
            raise KeyError(*sorted(missing))
        for name, entry in expected["figures"].items():
            for budget, value in entry["values"].items():
                if why := fault(value, entry["tolerance"]):
                    raise UserError(f"{path}: the tolerance of {name} ({budget}) is no good: {why}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"{path} is damaged ({told}): restore it with git, or delete it and make it again with --update"
        ) from None
    return expected


def figures_for(expected: dict, budget: str) -> dict[str, dict]:
    """The figures of one budget, as `compare` takes them."""
    return {
        name: {"value": entry["values"][budget], "tolerance": entry["tolerance"]}
        for name, entry in expected["figures"].items()
        if budget in entry["values"]
    }


def drifts_of(notebook: Path, budget: str, found: dict) -> list[Drift] | None:
    """What this notebook recorded against what is expected; None where nothing is known for this budget."""
    path = expected_path(notebook)
    if path is None or not path.is_file():
        return None
    figures = figures_for(read_expected(path), budget)
    return compare(figures, found) if figures else None


def update(path: Path, budget: str, found: dict, reason: str) -> list[str]:
    """Make what was found the expected figures of this budget: those that drifted, new ones, those that are gone.

    Tolerances stay; a new figure, or one of another shape, gets a default. Returns one line for each change, and for
    each value of a broken library that a tolerance now takes. Nothing changed: nothing written, no line.
    """
    expected = read_expected(path) if path.is_file() else {"figures": {}, "broken": [], "updates": []}
    old = figures_for(expected, budget)
    drifted = [name for name in found if name not in old or compare({name: old[name]}, {name: found[name]})]
    gone = [name for name in old if name not in found]
    lines = [_put(expected["figures"], name, budget, found[name]) for name in drifted]
    for name in gone:
        del expected["figures"][name]["values"][budget]
        lines.append(f"{name}: gone")
    expected["figures"] = {name: entry for name, entry in expected["figures"].items() if entry["values"]}
    if lines:
        today = date.today().isoformat()
        told = {"date": today, "budget": budget, "reason": reason, "figures": drifted + gone}
        expected["updates"].append(told)
        write_json(path, expected)
    return lines + broken_faults(expected)


def broken_faults(expected: dict) -> list[str]:
    """One line for each value of a broken library that is not refused."""
    lines = [] if expected["broken"] else ["no broken value yet: python tests/tutorial/break_once.py --help"]
    for broken in expected["broken"]:
        figures = figures_for(expected, broken["budget"])
        for name, value in broken["figures"].items():
            entry = figures.get(name)
            if entry is None or accepts(entry["value"], value, entry["tolerance"]):
                told = "is no figure any more" if entry is None else f"takes {value} now"
                lines.append(f"{name} {told}, recorded with this broken: {broken['what']}. Measure it again")
    return lines


def _put(figures: dict, name: str, budget: str, value: object) -> str:
    """Put a value in, with a tolerance that is good for it; says what was done."""
    entry = figures.setdefault(name, {"tolerance": None, "reason": "", "values": {}})
    values = entry["values"] | {budget: value}
    if all(fault(each, entry["tolerance"]) is None for each in values.values()):
        entry["values"] = values
        return f"{name}: rewritten, tolerance {tolerance_text(entry['tolerance'])} as before"
    entry["values"] = values
    entry["tolerance"] = default_tolerance(values[budget])
    if any(fault(each, entry["tolerance"]) for each in values.values()):
        entry["tolerance"] = EXACT
    exact = entry["tolerance"] == EXACT
    entry["reason"] = "default: the same everywhere" if exact else "default: not yet measured on a second machine"
    return f"{name}: new, tolerance {tolerance_text(entry['tolerance'])} by default; look at it in the file"
