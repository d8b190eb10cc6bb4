"""One row of a manifest: a visible / infrared pair, or an infrared picture alone, and what is known about it.

Manifests are Parquet (half a million rows, types kept) or CSV (for people and spreadsheets); the suffix decides.
"""

import csv
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path


@dataclass(frozen=True)
class Record:
    """Paths are absolute, or relative to the manifest's folder. "" or -1 where the row has no such thing."""

    id: str
    group: str  # scene or sequence: what must never be split between training and test
    visible: str
    infrared: str
    band: str = ""  # nir, swir, mwir, lwir
    camera: str = ""
    caption: str = ""
    split: str = ""  # as published: train, val, test
    instances: str = ""
    classes: str = ""
    temperature: str = ""  # 16-bit PNG, hundredths of a kelvin
    licence: str = ""
    dataset: str = ""
    frame: int = -1  # number within its sequence
    time: str = ""  # day, dusk, night
    width: int = -1  # pixels of the visible picture, or of the infrared one where it is alone
    height: int = -1
    infrared_width: int = -1
    infrared_height: int = -1
    bit_depth: int = -1  # of the infrared file: 8, 14 or 16
    grey_low: float = -1.0  # raw values that became 0 and 255, where the file has more than 8 bits
    grey_high: float = -1.0
    crop: str = ""  # "left,top,right,bottom" pixels that hold the picture, where the files have a frame around it
    visible_sha256: str = ""
    infrared_sha256: str = ""


REQUIRED = ("id", "group", "visible", "infrared")
PATHS = ("visible", "infrared", "instances", "classes", "temperature")  # columns that name files
TYPES = {field.name: field.type for field in fields(Record)}


def write_manifest(path: str | Path, records: Iterable[Record]) -> None:
    """Write records as CSV or Parquet, atomically, in the order given. CSV leaves out columns that no row uses."""
    path, rows = Path(path), [asdict(record) for record in records]
    with atomic_path(path) as temporary:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            arrow = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
            schema = pyarrow.schema([(name, arrow[kind]) for name, kind in TYPES.items()])
            columns = {name: [row[name] for row in rows] for name in TYPES}
            pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), temporary)
            return
        empty = {field.name: field.default for field in fields(Record)}
        used = [name for name in TYPES if name in REQUIRED or any(row[name] != empty[name] for row in rows)]
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, used, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)


def read_manifest(path: str | Path) -> list[Record]:
    """Read a CSV or Parquet manifest; columns that a `Record` has not are passed over.

    A manifest without visible and infrared, but with dataset and id, stands for `<dataset>/{visible,infrared}/<id>.*`.
    Raises `UserError` where it is missing or unreadable, lacks a column, repeats an id, or a number is none.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no manifest at {path}: give the path of a CSV or Parquet file with the columns id, group, visible, "
            "infrared"
        )
    rows, columns = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    if not {"visible", "infrared"} & columns and {"dataset", "id"} <= columns:
        rows, columns = _by_dataset(path, rows), columns | {"visible", "infrared"}
    missing = {"id", "visible", "infrared"} - columns
    if missing:
        raise UserError(f"{path} has no column {', '.join(sorted(missing))}: a manifest needs id, visible and infrared")
    if len({row["id"] for row in rows}) < len(rows):
        raise UserError(f"{path} has an id twice: ids name rows, make them unique")
    return [_record(path, row) for row in rows]


def rebased(records: Iterable[Record], old: str | Path, new: str | Path) -> list[Record]:
    """The same rows for a manifest in the folder `new`: relative paths, from `old` so far, lead to the same files.

    Absolute paths stay. Links to folders are followed first: a ".." behind one would lead elsewhere.
    """
    old, new = os.path.realpath(old), os.path.realpath(new)

    def move(name: str) -> str:
        if not name or os.path.isabs(name):
            return name
        whole = os.path.join(old, name)
        try:
            return Path(os.path.relpath(whole, new)).as_posix()
        except ValueError:  # another drive
            return Path(whole).as_posix()

    if old == new:
        return list(records)
    return [replace(record, **{name: move(getattr(record, name)) for name in PATHS}) for record in records]


def _read_csv(path: Path) -> tuple[list[dict], set[str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # spreadsheets put a mark before the first name
            reader = csv.DictReader(file)
            return list(reader), set(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file ({error}): a manifest is CSV in UTF-8, or Parquet") from None


def _read_parquet(path: Path) -> tuple[list[dict], set[str]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read as Parquet ({str(error).splitlines()[0]}): make it again") from None
    return table.to_pylist(), set(table.column_names)


def _by_dataset(path: Path, rows: list[dict]) -> list[dict]:
    """Rows with the paths that dataset and id stand for; the scene, where there is one, is the group."""
    found = []
    for row in rows:
        paths = {}
        for kind in ("visible", "infrared"):
            folder = path.parent / row["dataset"] / kind
            match = next(iter(sorted(folder.glob(f"{row['id']}.*"))), None)
            if match is None:
                raise UserError(f"{path} names {row['id']}, but {folder} has no such picture")
            paths[kind] = match.relative_to(path.parent).as_posix()
        name = f"{row['dataset']}/{row['id']}"
        found.append({**row, **paths, "id": name, "group": f"{row['dataset']}/{row.get('scene') or row['id']}"})
    return found


def _record(path: Path, row: dict) -> Record:
    known = {}
    for name, kind in TYPES.items():
        value = row.get(name)
        if value is None or value == "":
            continue
        try:
            known[name] = kind(value)
        except ValueError:
            raise UserError(f"{path}, row {row['id']}: {name} is {value!r}, not a number") from None
    return Record(**{"visible": "", "infrared": "", "group": row["id"], **known})
