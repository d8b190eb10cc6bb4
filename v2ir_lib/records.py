"""One row of a manifest: a visible / infrared pair, and what is known about it."""

import csv
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path


@dataclass(frozen=True)
class Record:
    """Paths are relative to the manifest's folder; "" where the row has no such thing."""

    id: str
    group: str  # scene or sequence: what must never be split between training and test
    visible: str
    infrared: str
    band: str = ""  # nir, swir, mwir, lwir
    camera: str = ""
    caption: str = ""
    split: str = ""  # as published
    instances: str = ""
    classes: str = ""
    temperature: str = ""  # 16-bit PNG, hundredths of a kelvin
    licence: str = ""


def write_manifest(path: str | Path, records: list[Record]) -> None:
    """Write records as CSV, atomically, in the order given."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Record)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(record) for record in records)


def read_manifest(path: str | Path) -> list[Record]:
    """Read a CSV manifest.

    Raises `UserError` where it is missing, lacks the columns id, visible and infrared, or repeats an id.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no manifest at {path}: give the path of a CSV file with the columns id, group, visible, infrared"
        )
    names = {field.name for field in fields(Record)}
    with open(path, newline="", encoding="utf-8-sig") as file:  # spreadsheets put a mark before the first column's name
        reader = csv.DictReader(file)
        rows, columns = list(reader), reader.fieldnames or ()
    missing = {"id", "visible", "infrared"} - set(columns)
    if missing:
        raise UserError(f"{path} has no column {', '.join(sorted(missing))}: a manifest needs id, visible and infrared")
    if len({row["id"] for row in rows}) < len(rows):
        raise UserError(f"{path} has an id twice: ids name rows, make them unique")
    known = [{name: value or "" for name, value in row.items() if name in names} for row in rows]
    return [Record(**{**row, "group": row.get("group") or row["id"]}) for row in known]
