"""Further columns of bytes for a row, from a folder each: segments, captions, latent moments."""

import re
from collections.abc import Sequence
from pathlib import Path

from v2ir_lib.errors import UserError
from v2ir_lib.records import Record

TAKEN = ("visible", "infrared", "record", "json")


def find_columns(records: Sequence[Record], folders: dict[str, str | Path]) -> dict[str, list[Path]]:
    """For each column a file for each row: FOLDER/<id>.*, or FOLDER/<the picture's name>.* where no id fits.

    Raises `UserError` for a bad name, a missing folder, rows without a file, and files or rows of equal name.
    """
    return {name: _find(records, name, Path(folder)) for name, folder in folders.items()}


def parse_columns(words: Sequence[str]) -> dict[str, str]:
    """["segments=out/segments"] as {"segments": "out/segments"}. Raises `UserError`."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not (name and equals and folder) or name in found:
            raise UserError(f"--column {word}: give each once, as NAME=FOLDER")
        found[name] = folder
    return found


def _find(records: Sequence[Record], name: str, folder: Path) -> list[Path]:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in TAKEN or name.endswith(("_offset", "_size")):
        raise UserError(f"--column {name}: a name is lower-case letters, digits and _, and none of {', '.join(TAKEN)}")
    if not folder.is_dir():
        raise UserError(f"--column {name}: no folder at {folder}")
    files: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."):
        key = path.relative_to(folder).with_suffix("").as_posix()
        if key in files:
            raise UserError(f"--column {name}: {files[key]} and {path} have one name; keep one of them")
        files[key] = path
    keys = [record.id for record in records]
    if not any(key in files for key in keys):
        keys = [Path(record.visible or record.infrared).stem for record in records]
        if len(set(keys)) < len(keys):
            raise UserError(f"--column {name}: no file in {folder} is named by an id, and pictures share names")
    missing = [record.id for record, key in zip(records, keys, strict=True) if key not in files]
    if missing:
        raise UserError(f"--column {name}: {len(missing)} rows have no file in {folder}, such as {missing[0]}")
    return [files[key] for key in keys]
