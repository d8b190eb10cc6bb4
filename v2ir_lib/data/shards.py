"""Half a million pairs as a few hundred tar files: webdataset shards, with a Parquet index to read a row by its offset.

A shard is complete or absent, and its bytes are a function of its rows alone: not of the time, the user, the number of
processes or the order in which they finish. An interrupted run continues with the shards that are missing.
"""

import hashlib
import io
import json
import multiprocessing
import os
import tarfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow
import pyarrow.parquet
from tqdm.auto import tqdm

from v2ir_lib.data.columns import find_columns, parse_columns
from v2ir_lib.data.shard_index import INDEX, note_path, read_note, scan_shard, verify_shards
from v2ir_lib.data.split_file import check_files, fit_split, read_split
from v2ir_lib.data.splitting import EXCLUDED
from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path, sha256, write_json
from v2ir_lib.records import Record, read_manifest

SETTINGS = "shards.json"
VERSION = 1  # of the layout


class Part(NamedTuple):
    """One file of a row: visible, infrared, or a column of bytes."""

    name: str
    path: str
    sha256: str  # known at import; "" where it is not


class Plan(NamedTuple):
    """One shard: its name without suffix, and its rows in order."""

    out: str
    name: str
    split: str
    start: int  # number of its first row in the index
    rows: tuple[tuple[Record, tuple[Part, ...]], ...]


@dataclass
class ShardSummary:
    """What was written. Sizes in bytes, time in seconds."""

    out: str
    rows: int = 0
    excluded: int = 0  # rows that the split sets aside
    written: int = 0  # shards
    kept: int = 0  # shards that were there, whole
    bytes: int = 0
    seconds: float = 0.0
    verified: bool = False

    def as_dict(self) -> dict:
        """For `--json`."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a person."""
        aside = f" ({self.excluded:,} set aside by the split)" if self.excluded else ""
        return [
            f"{self.rows:,} rows{aside} in {self.written + self.kept:,} shards, {self.bytes / 1e6:,.1f} MB: "
            f"{self.written:,} written, {self.kept:,} kept, in {self.out}{'; verified' * self.verified}"
        ]


def run_shards(
    manifest: Path | None, out: Path, *, verify: bool = False, columns: Sequence[str] = (), **options
) -> ShardSummary:
    """`write_shards` as the command line calls it, columns as NAME=FOLDER; with `verify`, all is read again."""
    if manifest is None:
        if not verify or columns or options.get("split"):
            raise UserError("say what to write:  v2ir data shard MANIFEST --out FOLDER, or only --verify --out FOLDER")
        found = verify_shards(out)
        return ShardSummary(str(out), found["rows"], kept=found["shards"], bytes=found["bytes"], verified=True)
    summary = write_shards(manifest, out, columns=parse_columns(columns), **options)
    if verify:
        verify_shards(out)
        summary.verified = True
    return summary


def write_shards(
    manifest: str | Path,
    out: str | Path,
    *,
    split: str | Path | None = None,
    size: int = 1000,
    workers: int | None = None,
    columns: dict[str, str | Path] | None = None,
    progress: bool = True,
) -> ShardSummary:
    """Write a manifest's pictures into shards of `size` rows in OUT, and index.parquet over all of them.

    split: a split file; each of its parts gets shards of its own. columns: a folder for each further column, with a
    file for each row, named by its id or by its picture. workers: processes, by default one for each core. Raises
    `UserError` for bad input, for pictures that changed since the import, and for a folder of other shards.
    """
    started = time.perf_counter()
    out, manifest = Path(out), Path(manifest)
    if size < 1 or (workers is not None and workers < 1):
        raise UserError("--size and --workers must be at least 1")
    records = read_manifest(manifest)
    if not records:
        raise UserError(f"{manifest} has no rows: there is nothing to write")
    check_files(records, manifest.parent)
    parts = fit_split(records, read_split(split), split) if split is not None else [""] * len(records)
    extra = find_columns(records, columns or {})
    plans = _plan(records, parts, extra, manifest.parent, out, size)
    if not plans:
        raise UserError("every row is excluded by the split: there is nothing to write")
    _claim(
        out, {"version": VERSION, "size": size, "columns": sorted(extra), "splits": sorted({p.split for p in plans})}
    )
    _refuse_strangers(out, plans)
    summary = ShardSummary(str(out), sum(len(plan.rows) for plan in plans), parts.count(EXCLUDED))
    (out / INDEX).unlink(missing_ok=True)  # where the index is, everything is
    tables = []
    for table, kept in _run(plans, workers or os.cpu_count() or 1, progress):
        tables.append(table)
        summary.kept += kept
        summary.written += not kept
    tables.sort(key=lambda table: table["number"][0].as_py())
    with atomic_path(out / INDEX) as temporary:
        pyarrow.parquet.write_table(pyarrow.concat_tables(tables), temporary)
    summary.bytes = sum((out / f"{plan.name}.tar").stat().st_size for plan in plans)
    summary.seconds = round(time.perf_counter() - started, 3)
    return summary


def _plan(records, parts, extra, root: Path, out: Path, size: int) -> list[Plan]:
    plans, start = [], 0
    for split in sorted({part for part in parts if part != EXCLUDED}):
        rows = [row for row, part in enumerate(parts) if part == split]
        for number, first in enumerate(range(0, len(rows), size)):
            some = tuple(
                (records[row], _parts(records[row], root, {name: paths[row] for name, paths in extra.items()}))
                for row in rows[first : first + size]
            )
            plans.append(Plan(str(out), f"{split or 'all'}-{number:06d}", split, start, some))
            start += len(some)
    return plans


def _parts(record: Record, root: Path, extra: dict[str, Path]) -> tuple[Part, ...]:
    pictures = [
        Part(kind, str(root / path), getattr(record, f"{kind}_sha256"))
        for kind, path in (("visible", record.visible), ("infrared", record.infrared))
        if path
    ]
    return (*pictures, *(Part(name, str(path), "") for name, path in sorted(extra.items())))


def _run(plans: list[Plan], workers: int, progress: bool):
    workers = min(workers, len(plans))
    with tqdm(total=len(plans), desc="sharding", unit="shard", disable=not progress) as bar:
        if workers == 1:
            for plan in plans:
                yield _make(plan)
                bar.update()
            return
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            for done in pool.imap_unordered(_make, plans):
                yield done
                bar.update()


def _make(plan: Plan) -> tuple[pyarrow.Table, bool]:
    """Write one shard, or keep it where it is whole and of the same files; its index rows, and whether it was kept."""
    tar = Path(plan.out) / f"{plan.name}.tar"
    mark, note = _fingerprint(plan), read_note(tar)
    columns = [part.name for part in plan.rows[0][1] if part.name not in ("visible", "infrared")]
    kept = bool(note and note["files"] == mark and tar.is_file() and sha256(tar) == note["sha256"])
    if not kept:
        note_path(tar).unlink(missing_ok=True)
        with atomic_path(tar) as temporary:
            _write(plan, temporary)
            digest = sha256(temporary)
        note = {"sha256": digest, "files": mark, "split": plan.split, "rows": len(plan.rows), "columns": columns}
        write_json(note_path(tar), note)
    return scan_shard(tar, plan.split, plan.start, [record.id for record, _ in plan.rows], columns), kept


def _write(plan: Plan, path: Path) -> None:
    """A tar in webdataset's naming, KEY.NAME.SUFFIX. Not by its own writer: that loads torch in every process."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, (record, parts) in enumerate(plan.rows, plan.start):
            facts = json.dumps(_facts(record), ensure_ascii=False).encode()
            files = [(f"{part.name}{Path(part.path).suffix.lower()}", _content(record, part)) for part in parts]
            for name, content in (*files, ("json", facts)):
                member = tarfile.TarInfo(f"{number:09d}.{name}")  # time, user and group are 0 and ""
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _facts(record: Record) -> dict:
    """What a reader of the shard may want to know; not where the files were."""
    where = ("visible", "infrared", "instances", "classes", "temperature")
    return {name: value for name, value in asdict(record).items() if name not in where and value not in ("", -1)}


def _content(record: Record, part: Part) -> bytes:
    try:
        content = Path(part.path).read_bytes()
    except OSError as error:
        raise UserError(f"row {record.id}: cannot read {part.path} ({error.strerror})") from None
    if part.sha256 and hashlib.sha256(content).hexdigest() != part.sha256:
        raise UserError(f"{part.path} has changed since the import (row {record.id}): import it again")
    return content


def _fingerprint(plan: Plan) -> str:
    """Changes with the rows, with what is known of them, and with any file: its hash, else its path, size and time."""
    digest = hashlib.sha256(f"{VERSION}/{plan.split}/{plan.start}".encode())
    for record, parts in plan.rows:
        digest.update(json.dumps(_facts(record)).encode())
        for part in parts:
            content = part.sha256 or f"{part.path}/{os.stat(part.path).st_size}/{os.stat(part.path).st_mtime_ns}"
            digest.update(f"{part.name}{Path(part.path).suffix.lower()}/{content}".encode())
    return digest.hexdigest()


def _claim(out: Path, settings: dict) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: give a folder to write shards to")
    path = out / SETTINGS
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = "unreadable settings"
        if found != settings:
            raise UserError(f"{out} holds other shards ({found}): choose an empty folder, or the same settings")
        return
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty and holds no {SETTINGS}: choose an empty folder")
    write_json(path, settings)


def _refuse_strangers(out: Path, plans: list[Plan]) -> None:
    strange = {path.stem for path in out.glob("*.tar") if path.name[0] != "."} - {plan.name for plan in plans}
    if strange:
        raise UserError(f"{out} holds shards of another manifest, such as {min(strange)}.tar: choose an empty folder")
