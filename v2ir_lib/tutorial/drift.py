"""Recorded figures against expected ones: what drifted, by which tolerance. Pure; the files are in `expected`.

| tolerance | a number passes if | takes |
| --- | --- | --- |
| "exact" | it is the same | counts, settings, words, what comes from `results/` |
| {"absolute": a} | it is at most a away | decibels, grey levels, correlations, losses |
| {"relative": r} | it is at most r times the expected size away, 0 < r < 1 | what may be large or small |

Words, true / false and null must always be the same. A list or dict has one tolerance for all that is in it.

The rule for zeros: a tolerance must reject 0 in place of every number, and 1 in place of every 0. So a relative one
cannot stand beside a 0, and an absolute one is smaller than the smallest number beside it that is not 0.
"""

import math
from dataclasses import dataclass

EXACT = "exact"


@dataclass(frozen=True)
class Drift:
    """One number, word or shape that is not as expected; as text, to be shown."""

    figure: str
    place: str  # in the figure: " / shipped"; "" for the whole
    expected: str
    tolerance: str
    found: str

    def as_dict(self) -> dict:
        """For JSON."""
        return dict(vars(self))


def compare(expected: dict[str, dict], found: dict[str, object]) -> list[Drift]:
    """What is not as expected, in the order of `expected`; then the figures that nobody expected.

    expected: figure → {"value": …, "tolerance": …}; found: figure → value, as a notebook recorded it.
    """
    drifts = []
    for name, entry in expected.items():
        if name in found:
            drifts += _compare((name, ""), entry["value"], found[name], entry["tolerance"])
        else:
            drifts.append(Drift(name, "", brief(entry["value"]), tolerance_text(entry["tolerance"]), "not recorded"))
    return drifts + [
        Drift(name, "", "no such figure", "-", brief(found[name])) for name in found if name not in expected
    ]


def accepts(value: object, found: object, tolerance: object) -> bool:
    """Whether `found` may stand for the expected `value`."""
    return not _compare(("", ""), value, found, tolerance)


def table(drifts: dict[str, list[Drift]]) -> str:
    """Notebook → its drifts, as aligned columns under a heading; one row for each number."""
    head = ("notebook", "figure", "expected", "tolerance", "found")
    rows = [
        (notebook, drift.figure + drift.place, drift.expected, drift.tolerance, drift.found)
        for notebook, some in drifts.items()
        for drift in some
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    cells = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (head, *rows)]
    return "\n".join("  ".join(row).rstrip() for row in cells)


def leaves(value: object, path: tuple = ()) -> list[tuple[tuple, object]]:
    """Every number, word, true / false or null in a figure, with the keys and places that lead to it."""
    if isinstance(value, dict):
        return [leaf for key, part in value.items() for leaf in leaves(part, (*path, key))]
    if isinstance(value, list):
        return [leaf for place, part in enumerate(value) for leaf in leaves(part, (*path, place))]
    return [(path, value)]


def with_leaf(value: object, path: tuple, new: object) -> object:
    """A copy of a figure with another leaf at `path`."""
    if not path:
        return new
    first, *rest = path
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    parts = {key: with_leaf(part, tuple(rest), new) if key == first else part for key, part in pairs}
    return parts if isinstance(value, dict) else list(parts.values())


def is_number(value: object) -> bool:
    """Whether it is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def fault(value: object, tolerance: object) -> str | None:
    """Why a tolerance is none for this value: it is malformed, or takes what no tolerance may. None: it is good."""
    numbers = [(path, leaf) for path, leaf in leaves(value) if is_number(leaf)]
    if not _is_tolerance(tolerance):
        return f'{tolerance!r} is no tolerance: "exact", {{"absolute": more than 0}} or {{"relative": between 0 and 1}}'
    if tolerance != EXACT and not numbers:
        return "there is no number that a tolerance could be for; say exact"
    if any(not math.isfinite(leaf) for _, leaf in numbers):
        return "an expected number is not finite"
    if any(leaf == 0 for _, leaf in numbers) and tolerance != EXACT and "relative" in tolerance:
        return "a relative tolerance has no meaning for 0; say exact or absolute"
    for path, leaf in numbers:
        for wrong in (float("nan"), 0 if leaf else 1):
            if accepts(value, with_leaf(value, path, wrong), tolerance):
                return f"it takes {wrong} for {leaf:g}" + "".join(f" / {part}" for part in path)
    return None


def default_tolerance(value: object) -> object:
    """For a figure that nobody has measured twice: exact without fractions, else 5% of its smallest number."""
    numbers = [leaf for _, leaf in leaves(value) if is_number(leaf)]
    sizes = [abs(number) for number in numbers if number]
    if not any(isinstance(number, float) for number in numbers) or not sizes:
        return EXACT
    if len(sizes) == len(numbers):
        return {"relative": 0.05}
    return {"absolute": float(f"{0.05 * min(1.0, *sizes):.1g}")}


def tolerance_text(tolerance: object) -> str:
    """A tolerance as the table shows it."""
    if tolerance == EXACT:
        return EXACT
    ((kind, size),) = tolerance.items()
    return f"± {size:g}" if kind == "absolute" else f"± {100 * size:g}%"


def brief(value: object) -> str:
    """A value in a cell of the table: one line, six digits, 28 characters."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 28 else f"{text[:27]}…"


def _compare(where: tuple[str, str], value: object, found: object, tolerance: object) -> list[Drift]:
    shape, new = _shape(value), _shape(found)
    if shape != new:
        return [Drift(*where, shape or brief(value), "same shape", new or brief(found))]
    if isinstance(value, dict | list):
        inner = value if isinstance(value, dict) else range(len(value))
        return [drift for key in inner for drift in _compare(_inside(where, key), value[key], found[key], tolerance)]
    if _leaf_passes(value, found, tolerance):
        return []
    return [Drift(*where, brief(value), tolerance_text(tolerance if is_number(value) else EXACT), brief(found))]


def _inside(where: tuple[str, str], key: str | int) -> tuple[str, str]:
    return where[0], f"{where[1]} / {key + 1 if isinstance(key, int) else key}"


def _leaf_passes(value: object, found: object, tolerance: object) -> bool:
    if not is_number(value) or not is_number(found):
        return type(value) is type(found) and value == found
    if tolerance == EXACT:
        return value == found  # NaN is not even itself, and not near anything
    ((kind, size),) = tolerance.items()
    allowed = size if kind == "absolute" else size * abs(value)
    return abs(found - value) <= allowed * (1 + 1e-9)  # 0.3 is 0.1 from 0.2, whatever binary fractions say


def _shape(value: object) -> str:
    """What must be the same before numbers are compared; "" for a leaf."""
    if isinstance(value, dict):
        return f"keys {', '.join(sorted(value))}"
    return f"a list of {len(value)}" if isinstance(value, list) else ""


def _is_tolerance(tolerance: object) -> bool:
    if not isinstance(tolerance, dict):
        return tolerance == EXACT
    if len(tolerance) != 1 or not all(is_number(size) and math.isfinite(size) for size in tolerance.values()):
        return False
    ((kind, size),) = tolerance.items()
    return size > 0 and (kind == "absolute" or (kind == "relative" and size < 1))
