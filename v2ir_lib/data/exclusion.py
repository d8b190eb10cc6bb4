"""Rows that must stay out of a training set: a list of names, or a whole dataset (a later phase's test set)."""

from collections.abc import Sequence
from pathlib import Path

from v2ir_lib.errors import UserError
from v2ir_lib.records import Record


def excluded_rows(records: Sequence[Record], wanted: Sequence[str]) -> tuple[set[int], list[str]]:
    """Row numbers that `wanted` names, and the names in its lists that no row has.

    wanted: files with a name on each line, or datasets, upper and lower case alike (M3FD; FLIR is flir-v1 too). A name
    is an id, a picture's file name with or without suffix, or DATASET/file name. Raises `UserError` for a word that is
    neither a file nor a dataset, for an unreadable list, and for a file name that several datasets have.
    """
    datasets: dict[str, set[int]] = {}
    for row, record in enumerate(records):
        datasets.setdefault(record.dataset.lower(), set()).add(row)
    found: set[int] = set()
    unmatched: list[str] = []
    index: dict[str, set[int]] | None = None
    for word in wanted:
        family = word.lower().replace("³", "3")  # FLIR is flir, flir-v1, flir-aligned
        if family and (rows := [row for name in datasets if _of(name, family) for row in datasets[name]]):
            found.update(rows)
            continue
        if not Path(word).is_file():
            known = ", ".join(sorted({record.dataset for record in records} - {""})) or "none named"
            raise UserError(f"--exclude {word}: neither a file of names nor a dataset of this manifest ({known})")
        index = _index(records) if index is None else index
        for name in _names(Path(word)):
            rows = index.get(name.lower(), set())
            if not rows:
                unmatched.append(name)
            several = sorted({records[row].dataset for row in rows})
            if len(several) > 1:
                raise UserError(f"{word}: {name} is in {' and '.join(several)}: write DATASET/{name}")
            found |= rows
    return found, unmatched


def _of(dataset: str, family: str) -> bool:
    return dataset == family or dataset.startswith(f"{family}-")


def _names(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no list of names ({error}): write one on each line, in UTF-8") from None
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise UserError(f"{path} names nothing to exclude: write a name on each line")
    return names


def _index(records: Sequence[Record]) -> dict[str, set[int]]:
    """Every name that a row goes by, in lower case; an id names its own row only."""
    names: dict[str, set[int]] = {}
    for row, record in enumerate(records):
        for path in filter(None, (record.visible, record.infrared)):
            for name in (Path(path).name, Path(path).stem):
                names.setdefault(name.lower(), set()).add(row)
                names.setdefault(f"{record.dataset}/{name}".lower(), set()).add(row)
    return names | {record.id.lower(): {row} for row, record in enumerate(records)}
