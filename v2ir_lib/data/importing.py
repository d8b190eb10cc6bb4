"""`v2ir data import`: a dataset's folder in, one manifest out; the pictures stay where they are.

Paper, §4: pairs and infrared pictures of many sources, put together. What does not pair is listed beside the manifest.
"""

import csv
import os
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from v2ir_lib.data.importers import IMPORTERS
from v2ir_lib.data.layout import Findings, Importer, Leftover, Options, Row
from v2ir_lib.data.measuring import RowMeasured, measure_rows
from v2ir_lib.data.roots import check_root, importer_of
from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path
from v2ir_lib.records import Record, write_manifest

RANGES = ("image", "sequence")
BANDS = ("", "nir", "swir", "mwir", "lwir")
SHOWN = 5  # of the unpaired files, and of the notes


@dataclass
class Summary:
    """What an import found: counts of rows, files by side, rows by split and by size; times in seconds."""

    kind: str
    manifest: str
    pairs: int = 0
    infrared_only: int = 0
    groups: int = 0
    splits: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)  # visible → infrared, most frequent first
    bit_depths: dict[str, int] = field(default_factory=dict)
    unpaired: dict[str, int] = field(default_factory=dict)  # files in no row, by side
    unpaired_first: list[dict] = field(default_factory=list)
    unpaired_file: str = ""
    skipped_by_stride: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict:
        """For `--json`."""
        return asdict(self)


def import_dataset(
    kind: str,
    root: str | Path,
    out: str | Path,
    *,
    grey: str = "image",
    stride: int = 1,
    raw: bool = False,
    hashes: bool = True,
    band: str = "",
    workers: int | None = None,
) -> Summary:
    """Import the dataset of a kind below `root`; write the manifest `out` (.parquet or .csv) and what did not pair.

    grey: deep infrared becomes 8 bits by percentiles of each "image" or of its "sequence". stride: every n-th frame of
    each video sequence. raw: 14- or 16-bit files in place of 8-bit ones. band: in place of the importer's. Pictures
    below the manifest's folder get relative paths, others absolute ones. A file that cannot be read (broken link, no
    permission, changed meanwhile) is listed with the unpaired ones. `UserError` for everything that concerns the whole;
    then nothing is written.
    """
    started = time.perf_counter()
    importer, root, out = importer_of(kind), Path(os.path.abspath(root)), Path(os.path.abspath(out))
    _check_options(out, grey, stride, band)
    options = Options(stride=stride, raw=raw)
    _check_taken(importer, options)
    check_root(root, importer)
    found = importer.find(root, options)
    if not found.rows:
        raise UserError(f"{root}: no rows, {_first_reason(found, importer)}")
    _check_ids(root, found.rows)
    measured = measure_rows(found.rows, hashed=hashes, by_sequence=grey == "sequence", workers=workers)
    records = _records(importer, found, measured, str(out.parent), band)
    if not records:
        raise UserError(f"{root}: none of {len(found.rows)} rows can be read, {_first_reason(found, importer)}")
    unpaired_file = out.with_name(out.name + ".unpaired.csv")
    _write(out, records, unpaired_file, found.leftovers)
    summary = _summary(importer.kind, out, records, found)
    summary.unpaired_file = str(unpaired_file) if found.leftovers else ""
    summary.seconds = round(time.perf_counter() - started, 3)
    return summary


def show(summary: Summary) -> None:
    """Print a summary for a person."""
    pairs, alone = summary.pairs, summary.infrared_only
    print(f"{summary.kind}: {pairs} pairs, {alone} infrared alone, in {summary.groups} groups")
    print("splits:      " + _counts(summary.splits))
    print("sizes:       " + _counts(summary.sizes))
    print("infrared:    " + _counts({f"{bits} bits": count for bits, count in summary.bit_depths.items()}))
    if summary.skipped_by_stride:
        print(f"left out:    {summary.skipped_by_stride} frames, by --stride")
    print("in no row:   " + _counts({f"{side} files": count for side, count in summary.unpaired.items()}))
    for entry in summary.unpaired_first:
        print(f"  {entry['path']}: {entry['reason']}")
    more = sum(summary.unpaired.values()) - len(summary.unpaired_first)
    if summary.unpaired_file:
        print(f"  {f'and {more} more, ' if more else ''}all listed in {summary.unpaired_file}")
    for note in summary.notes[:SHOWN]:
        print(f"note:        {note}")
    if len(summary.notes) > SHOWN:
        print(f"note:        and {len(summary.notes) - SHOWN} more (--json has all)")
    print(f"manifest:    {summary.manifest} ({summary.seconds:.1f} s)")


def _counts(counts: dict[str, int], shown: int = 4) -> str:
    parts = [f"{name} {count}" for name, count in list(counts.items())[:shown]]
    rest = len(counts) - shown
    return ", ".join(parts + ([f"and {rest} others"] if rest > 0 else [])) or "none"


def _check_options(out: Path, grey: str, stride: int, band: str) -> None:
    if out.suffix not in (".parquet", ".csv"):
        raise UserError(f"{out.name} is neither .parquet nor .csv: the suffix decides the manifest's format")
    if out.is_dir():
        raise UserError(f"{out} is a folder: give the manifest's file name")
    if grey not in RANGES:
        raise UserError(f"unknown range {grey!r}: choose one of {', '.join(RANGES)}")
    if band not in BANDS:
        raise UserError(f"unknown band {band!r}: choose one of {', '.join(BANDS[1:])}")
    if stride < 1:
        raise UserError(f"stride is {stride}: it must be 1 or more")
    there = next(folder for folder in out.parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):  # asked before minutes of reading
        raise UserError(f"cannot write {out}: {there} is no folder that you may write to; choose another output")


def _check_taken(importer: Importer, options: Options) -> None:
    """An option that an importer would pass over is an error: the manifest would not be what was asked for."""
    for option, chosen in (("stride", options.stride != 1), ("raw", options.raw)):
        if chosen and option not in importer.takes:
            kinds = ", ".join(kind for kind, other in IMPORTERS.items() if option in other.takes)
            raise UserError(f"--{option} means nothing for {importer.title}: it is for {kinds}")


def _first_reason(found: Findings, importer: Importer) -> str:
    if not found.leftovers:
        return f"it holds no pictures where {importer.title} has them ({importer.layout})"
    first = found.leftovers[0]
    return f"{len(found.leftovers)} files are left over, the first: {first.path} ({first.reason})"


def _check_ids(root: Path, rows: list[Row]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise UserError(
                f"{root}: two pictures would be called {row.id}: rename one, or import its folder by itself"
            )
        seen.add(row.id)


def _records(importer: Importer, found: Findings, measured: list[RowMeasured], base: str, band: str) -> list[Record]:
    """Records of the rows whose files could be read; the others join the leftovers."""
    records, whole = [], 0
    for row, (visible, infrared) in zip(found.rows, measured, strict=True):
        broken = {"visible": visible.error if visible else "", "infrared": infrared.error}
        if any(broken.values()):
            found.leftovers.extend(_unreadable(row, broken))
            continue
        shape = visible or infrared
        crop = row.crop if _fits(row.crop, shape) and _fits(row.crop, infrared) else ""
        whole += crop != row.crop
        deep = infrared.bits > 8
        records.append(
            Record(
                id=row.id,
                group=row.group,
                visible=_below(base, row.visible),
                infrared=_below(base, row.infrared),
                band=band or importer.band,
                split=row.split,
                licence=row.licence or importer.licence,
                dataset=row.dataset,
                frame=row.frame,
                time=row.time,
                width=shape.width,
                height=shape.height,
                infrared_width=infrared.width,
                infrared_height=infrared.height,
                bit_depth=infrared.bits,
                grey_low=infrared.low if deep else -1.0,
                grey_high=infrared.high if deep else -1.0,
                crop=crop,
                visible_sha256=visible.sha256 if visible else "",
                infrared_sha256=infrared.sha256,
            )
        )
    if whole:
        found.notes.append(f"{whole} rows are not of the size that has a frame around it: taken whole")
    return records


def _unreadable(row: Row, broken: dict[str, str]) -> list[Leftover]:
    paths = {"visible": row.visible, "infrared": row.infrared}
    other = {"visible": "infrared", "infrared": "visible"}
    return [
        Leftover(side, path, broken[side] or f"its {other[side]} picture: {broken[other[side]]}")
        for side, path in paths.items()
        if path
    ]


def _fits(crop: str, shape) -> bool:
    """Whether a file has the frame that a crop takes off: equal margins on both sides."""
    if not crop:
        return True
    left, top, right, bottom = (int(part) for part in crop.split(","))
    return (shape.width, shape.height) == (left + right, top + bottom)


def _below(base: str, path: str) -> str:
    """Relative to the manifest's folder where the file is below it, else as it is."""
    start = base.rstrip(os.sep) + os.sep
    return path[len(start) :].replace(os.sep, "/") if path.startswith(start) else path


def _write(out: Path, records: list[Record], unpaired_file: Path, leftovers: list[Leftover]) -> None:
    """The list of what did not pair appears only once the manifest has; an older run's list goes."""
    if not leftovers:
        write_manifest(out, records)
        unpaired_file.unlink(missing_ok=True)
        return
    with atomic_path(unpaired_file) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(Leftover._fields)
            writer.writerows(Leftover(side, _below(str(out.parent), path), reason) for side, path, reason in leftovers)
        write_manifest(out, records)


def _summary(kind: str, out: Path, records: list[Record], found: Findings) -> Summary:
    def counted(values) -> dict[str, int]:
        return dict(Counter(values).most_common())

    base, pairs = str(out.parent), sum(bool(record.visible) for record in records)
    return Summary(
        kind=kind,
        manifest=str(out),
        pairs=pairs,
        infrared_only=len(records) - pairs,
        groups=len({record.group for record in records}),
        splits=counted(record.split or "none stated" for record in records),
        sizes=counted(map(_size, records)),
        bit_depths=counted(str(record.bit_depth) for record in records),
        unpaired=counted(leftover.side for leftover in found.leftovers),
        unpaired_first=[
            leftover._replace(path=_below(base, leftover.path))._asdict() for leftover in found.leftovers[:SHOWN]
        ],
        skipped_by_stride=found.skipped,
        notes=found.notes,
    )


def _size(record: Record) -> str:
    infrared = f"{record.infrared_width}×{record.infrared_height}"
    return f"{record.width}×{record.height} → {infrared}" if record.visible else infrared
