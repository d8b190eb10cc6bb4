"""A notebook's figures, handed to whoever runs it headless: `record(name, value)`, and `finish()` in the last cell."""

import json
import math
import os
from pathlib import Path

from v2ir_lib.files import write_json

VARIABLE = "V2IR_RECORD"  # the runner puts the path of a JSON file there; in an interactive session it is not set

_interactive: dict = {"figures": {}, "finished": False}


def record(name: str, value: object) -> None:
    """Keep one figure of this notebook under `name`; the same name again replaces it.

    `value` is what JSON can say: a number, text, or lists and dicts of these (NumPy and torch scalars and arrays are
    converted). A NaN or an infinity raises `ValueError` here, in the cell that made it.
    """
    recorded = read_record()
    recorded["figures"][name] = _plain(value, name)
    _write(recorded)


def finish() -> None:
    """Say that the notebook got to its end. Belongs into the last cell: a run that does not reach it has failed."""
    recorded = read_record()
    recorded["finished"] = True
    _write(recorded)


def read_record(path: str | os.PathLike | None = None) -> dict:
    """What has been recorded so far: {"figures": {name: value}, "finished": bool}."""
    path = path or os.environ.get(VARIABLE)
    if not path:
        return _interactive
    path = Path(path)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"figures": {}, "finished": False}


def _write(recorded: dict) -> None:
    if os.environ.get(VARIABLE):
        write_json(os.environ[VARIABLE], recorded)


def _plain(value: object, name: str) -> object:
    """`value` as JSON knows it."""
    if hasattr(value, "tolist"):  # NumPy or torch, scalar or array
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(part, name) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, name) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"the figure {name!r} is {value}: there is nothing to compare it with later")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"the figure {name!r} is a {type(value).__name__}; record numbers, text, lists or dicts")
