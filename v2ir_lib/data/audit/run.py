"""`v2ir data audit`: measure every row, compare, judge, write. Nothing is deleted; bad rows are set aside."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from v2ir_lib.data.audit.duplicates import Link
from v2ir_lib.data.audit.leakage import find_links, judge_links, keeping_order
from v2ir_lib.data.audit.measure import Row, measure_record
from v2ir_lib.data.audit.reasons import Finding
from v2ir_lib.data.audit.report import write_report
from v2ir_lib.data.audit.summary import summarise
from v2ir_lib.data.audit.tables import write_links, write_table
from v2ir_lib.data.audit.verdicts import judge_rows
from v2ir_lib.errors import UserError
from v2ir_lib.records import Record, read_manifest, rebased, write_manifest

FEW = 64  # rows that one process measures sooner than others start
CHUNK = 16


@dataclass(frozen=True)
class Audit:
    """The result, row by row in the manifest's order; `folder` is what its paths are relative to."""

    records: list[Record]
    folder: Path
    rows: list[Row]
    findings: list[Finding]
    polarity: np.ndarray  # (n,), NaN where nobody could vote
    links: list[Link]

    @property
    def good(self) -> list[Record]:
        """Records that are not set aside."""
        return [r for r, finding in zip(self.records, self.findings, strict=True) if finding.verdict != "bad"]

    def summary(self) -> dict:
        """Counts and figures, for `--json` and for one screen."""
        return summarise(self.records, self.rows, self.findings, self.polarity, self.links)


def audit_records(
    records: list[Record], folder: str | Path, *, workers: int | None = None, progress: bool = True
) -> Audit:
    """Audit records whose paths are relative to `folder`; `workers` processes, by default one for each core."""
    rows = _measure_all(records, str(folder), workers, progress)
    findings, polarity = judge_rows(records, rows)
    order = keeping_order(records, findings)
    links = find_links(records, rows, order)
    judge_links(records, links, findings, order)
    return Audit(records, Path(folder), rows, findings, polarity, links)


def audit_manifest(
    manifest: str | Path,
    out: str | Path,
    *,
    report: str | Path | None = None,
    good: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Audit:
    """Audit a manifest; write `out` (Parquet, a row a record), its links beside it, and what else is asked for.

    good: a manifest without bad rows, its paths relative to where it lies. Raises `UserError`.
    """
    manifest, out = Path(manifest), Path(out)
    _check_targets(manifest, out, report, good)
    records = read_manifest(manifest)
    if not records:
        raise UserError(f"{manifest} has no rows: there is nothing to audit")
    audit = audit_records(records, manifest.parent, workers=workers, progress=progress)
    write_links(links_path(out), records, audit.links)
    write_table(out, records, audit.rows, audit.findings, audit.polarity)
    if report:
        write_report(report, records, audit.folder, audit.findings, audit.summary())
    if good:
        write_manifest(good, rebased(audit.good, manifest.parent, Path(good).parent))
    return audit


def links_path(out: str | Path) -> Path:
    """Where the links of `audit.parquet` are: `audit_links.parquet`."""
    out = Path(out)
    return out.with_name(f"{out.stem}_links.parquet")


def _check_targets(manifest: Path, out: Path, report: str | Path | None, good: str | Path | None) -> None:
    """Everything that can be known to be wrong before hours of work."""
    targets = {"--out": out, "--report": report, "--good": good}
    suffixes = {"--out": (".parquet",), "--report": (".html", ".htm"), "--good": (".parquet", ".csv")}
    seen = {manifest.resolve(): "the manifest"}
    for option, target in targets.items():
        if target is None:
            continue
        target = Path(target)
        if target.suffix.lower() not in suffixes[option]:
            raise UserError(f"{option} is {target}: give a file that ends in {' or '.join(suffixes[option])}")
        for path in (target, links_path(target)) if option == "--out" else (target,):
            if path.is_dir():
                raise UserError(f"{option}: {path} is a folder, give a file")
            if (known := seen.setdefault(path.resolve(), option)) != option:
                raise UserError(f"{option} would overwrite {known}, {path}: choose another name")
        nearest = next(parent for parent in (target.parent, *target.parent.resolve().parents) if parent.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            raise UserError(f"{option}: cannot write to {target.parent}: choose a folder that you may write to")


def _measure_all(records: list[Record], folder: str, workers: int | None, progress: bool) -> list[Row]:
    workers = min(workers or os.cpu_count() or 1, -(-len(records) // FEW))
    measure = partial(measure_record, folder=folder)
    bar = tqdm(total=len(records), desc="auditing", unit="row", disable=None if progress else True)
    rows = []
    with bar:
        if workers == 1:
            for record in records:
                rows.append(measure(record))
                bar.update()
            return rows
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
            try:
                for row in pool.map(measure, records, chunksize=CHUNK):
                    rows.append(row)
                    bar.update()
            except BrokenProcessPool:
                raise UserError("a worker process was killed, most likely for memory: give fewer --workers") from None
            finally:
                pool.shutdown(cancel_futures=True)
    return rows


def _one_thread() -> None:
    """Processes share the cores; threads inside them would only wait for each other."""
    cv2.setNumThreads(1)
