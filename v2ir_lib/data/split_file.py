"""A split as it is published: a CSV of id, group, part and the SHA-256 of both files, so that anybody can check it."""

import csv
import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from v2ir_lib.data.splitting import EXCLUDED, PARTS
from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path, sha256
from v2ir_lib.records import Record

COLUMNS = ("id", "group", "split", "visible_sha256", "infrared_sha256")


@dataclass(frozen=True)
class SplitRow:
    """One line of the file. `group` is the set of rows that stay together; a hash is "" where there is no file."""

    id: str
    group: str
    split: str  # train, val, test, excluded
    visible_sha256: str = ""
    infrared_sha256: str = ""


def write_split(path: str | Path, rows: Iterable[SplitRow]) -> None:
    """Write the CSV, atomically, in the order given."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(row, name) for name in COLUMNS] for row in rows)


def read_split(path: str | Path) -> dict[str, SplitRow]:
    """Read a split file, by id. Raises `UserError` where it is missing, no such CSV, or says something twice."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no split file at {path}: make one with  v2ir data split MANIFEST --out {path}")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lines, columns = list(reader), set(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file ({error}): make the split again") from None
    if missing := {"id", "split"} - columns:
        raise UserError(f"{path} has no column {', '.join(sorted(missing))}: a split file needs id and split")
    rows: dict[str, SplitRow] = {}
    for line in lines:
        row = SplitRow(**{name: line.get(name) or "" for name in COLUMNS})
        if row.split not in (*PARTS, EXCLUDED):
            raise UserError(f"{path}, row {row.id}: the split is {row.split!r}, not {', '.join(PARTS)} or {EXCLUDED}")
        if row.id in rows:
            raise UserError(f"{path} has {row.id} twice: make the split again")
        rows[row.id] = row
    return rows


def fit_split(records: Sequence[Record], split: dict[str, SplitRow], path: str | Path) -> list[str]:
    """The part of each row. Raises `UserError` where the file does not fit the manifest: other ids, other files."""
    ids = {record.id for record in records}
    here, there = [i for i in ids if i not in split], [i for i in split if i not in ids]
    if here or there:
        raise UserError(
            f"{path} does not fit the manifest: {len(here)} rows are not in it, {len(there)} of its rows are not in "
            f"the manifest (such as {min(here or there)}); make the split again"
        )
    for record in records:
        for name in ("visible_sha256", "infrared_sha256"):
            known, published = getattr(record, name), getattr(split[record.id], name)
            if known and published and known != published:
                raise UserError(f"{path} does not fit the manifest: {record.id} has another {name.split('_')[0]} file")
    return [split[record.id].split for record in records]


def check_files(records: Sequence[Record], root: Path) -> None:
    """Raises `UserError` if a row has no picture at all, or one that is not there (absolute, or below `root`)."""
    gone = []
    for record in records:
        if not (record.visible or record.infrared):
            raise UserError(f"row {record.id} has neither a visible nor an infrared picture: set it aside")
        gone += [path for path in (record.visible, record.infrared) if path and not (root / path).is_file()]
    if gone:
        raise UserError(
            f"{len(gone)} pictures of the manifest are not there, such as {root / gone[0]}: if they were moved, "
            "import them again"
        )


def with_hashes(records: Sequence[Record], root: Path, progress: bool = True) -> list[Record]:
    """The same rows with the SHA-256 of both files; those that the manifest has are taken from it, not read again."""
    todo = [
        (row, f"{kind}_sha256", root / path)
        for row, record in enumerate(records)
        for kind, path in (("visible", record.visible), ("infrared", record.infrared))
        if path and not getattr(record, f"{kind}_sha256")
    ]
    found = list(records)
    with ThreadPoolExecutor(4) as pool:
        hashes = pool.map(sha256, [path for _, _, path in todo])
        bar = tqdm(hashes, total=len(todo), desc="hashing", unit="file", disable=not (progress and todo))
        for (row, name, _), digest in zip(todo, bar, strict=True):
            found[row] = replace(found[row], **{name: digest})
    return found


def read_links(path: str | Path, ids: Sequence[str]) -> tuple[np.ndarray, int]:
    """Duplicate links as (L, 2) row numbers, and how many links name a row that is not here.

    The file is the audit's Parquet table with the columns id_a and id_b. Raises `UserError` where it is none, or
    where none of its links fits.
    """
    import pyarrow
    import pyarrow.parquet

    path = Path(path)
    if not path.is_file():
        raise UserError(f"no table of links at {path}: v2ir data audit makes it")
    try:
        table = pyarrow.parquet.read_table(path, columns=["id_a", "id_b"])
    except (pyarrow.ArrowException, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is no table of links with id_a and id_b ({str(error).splitlines()[0]})") from None
    row_of = {name: row for row, name in enumerate(ids)}
    ends = [[row_of.get(name, -1) for name in table[column].to_pylist()] for column in ("id_a", "id_b")]
    pairs = np.array(ends, np.int64).T.reshape(-1, 2)
    inside = pairs[(pairs >= 0).all(axis=1)]
    if len(pairs) and not len(inside):
        raise UserError(f"none of the {len(pairs)} links in {path} fits the manifest: it is another one's")
    return inside, len(pairs) - len(inside)


def fingerprint(rows: Iterable[SplitRow]) -> str:
    """Hex SHA-256 of who is where: two splits with the same one are the same split."""
    lines = sorted(f"{row.id}\t{row.split}\n" for row in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
