"""Reading shards: the index over them, a shard's own rows, and the check that nothing is missing or damaged."""

import hashlib
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
from tqdm.auto import tqdm

from v2ir_lib.errors import UserError
from v2ir_lib.files import sha256

INDEX = "index.parquet"


def read_index(folder: str | Path) -> pyarrow.Table:
    """The index: number, id, split, shard, sha256 of the row, and NAME_offset, NAME_size for each part.

    A part that a row has not is at offset −1. Raises `UserError` where there is none, or a broken one.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        raise UserError(f"no index at {path}: v2ir data shard writes it last; run it again to complete the folder")
    try:
        return pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read ({str(error).splitlines()[0]}): run v2ir data shard again") from None


def verify_shards(folder: str | Path, progress: bool = True) -> dict:
    """Read every shard again and compare with checksums and index: {"shards": n, "rows": n, "bytes": n}.

    Raises `UserError` naming the first shard that is missing, has other bytes, or does not fit the index.
    """
    folder, index = Path(folder), read_index(folder)
    names = index["shard"].to_pylist()
    firsts = {name: first for first, name in reversed(list(enumerate(names)))}
    total = 0
    for name, first in tqdm(sorted(firsts.items()), desc="verifying", unit="shard", disable=not progress):
        tar = folder / f"{name}.tar"
        note = read_note(tar)
        if note is None or not tar.is_file():
            raise UserError(f"shard {tar} is missing: run v2ir data shard again to complete the folder")
        if sha256(tar) != note["sha256"]:
            raise UserError(f"shard {tar} is damaged (its checksum differs): run v2ir data shard again")
        rows = index.slice(first, note["rows"])
        if not scan_shard(tar, note["split"], first, rows["id"].to_pylist()).equals(rows):
            raise UserError(f"shard {tar} does not fit the index: run v2ir data shard again")
        total += tar.stat().st_size
    return {"shards": len(firsts), "rows": len(names), "bytes": total}


def row_sha256(contents: Sequence[bytes]) -> str:
    """Hex SHA-256 of a row: of the SHA-256 of each of its parts, in the order of the index's columns."""
    return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).hexdigest()


def scan_shard(tar: Path, split: str, start: int, ids: Sequence[str], columns: Sequence[str] = ()) -> pyarrow.Table:
    """The index's rows for one shard, read from its tar file. `columns` beside visible, infrared and record."""
    names = part_names(columns or read_note(tar)["columns"])
    found: dict[str, list] = {"number": [], "id": list(ids), "split": [], "shard": [], "sha256": []}
    found |= {f"{name}_{what}": [] for name in names for what in ("offset", "size")}
    rows: dict[str, dict[str, tarfile.TarInfo]] = {}
    with tarfile.open(tar) as archive, open(tar, "rb") as file:
        for member in archive:
            key, name = member.name.split(".")[:2]
            rows.setdefault(key, {})["record" if name == "json" else name] = member
        for number, members in enumerate(rows.values(), start):
            contents = []
            for name in names:
                member = members.get(name)
                found[f"{name}_offset"].append(-1 if member is None else member.offset_data)
                found[f"{name}_size"].append(0 if member is None else member.size)
                if member is not None:
                    file.seek(member.offset_data)
                    contents.append(file.read(member.size))
            found["sha256"].append(row_sha256(contents))
            for name, value in (("number", number), ("split", split), ("shard", tar.stem)):
                found[name].append(value)
    return pyarrow.table(found)


def part_names(columns: Sequence[str]) -> list[str]:
    """All parts of a row, in the order of the index."""
    return ["visible", "infrared", "record", *columns]


def note_path(tar: Path) -> Path:
    """The small JSON beside a shard: checksum, what it was made of, split, rows, columns."""
    return tar.with_suffix(".json")


def read_note(tar: Path) -> dict | None:
    """What the JSON beside a shard says; None where it is missing or broken."""
    try:
        note = json.loads(note_path(tar).read_text(encoding="utf-8"))
        return note if {"sha256", "files", "split", "rows", "columns"} <= note.keys() else None
    except (OSError, ValueError, AttributeError):
        return None
