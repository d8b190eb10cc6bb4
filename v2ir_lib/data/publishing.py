"""What `v2ir data split` does: a manifest in, a published split out; or a split in, and what it gives away out."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from v2ir_lib.data.clusters import alike_links, grey_features, temporal_links, unit_length
from v2ir_lib.data.exclusion import excluded_rows
from v2ir_lib.data.leakage import Leakage, check_names, check_records, frame_number, read_names
from v2ir_lib.data.split_file import (
    SplitRow,
    check_files,
    fingerprint,
    fit_split,
    read_links,
    read_split,
    with_hashes,
    write_split,
)
from v2ir_lib.data.splitting import (
    EXCLUDED,
    PARTS,
    check_fractions,
    lonely_rows,
    parse_fractions,
    split_records,
)
from v2ir_lib.errors import UserError
from v2ir_lib.records import Record, read_manifest


@dataclass
class SplitSummary:
    """What was split, and how near it came to the fractions that were asked for."""

    out: str
    fractions: list[float]
    seed: int
    rows: dict[str, int] = field(default_factory=dict)  # by part, and excluded
    groups: dict[str, int] = field(default_factory=dict)
    datasets: dict[str, dict[str, int]] = field(default_factory=dict)  # rows by dataset and part
    links: int = 0  # duplicate links that were used
    links_elsewhere: int = 0  # links that name a row of another manifest
    cluster_links: int = 0  # pairs joined by looks, where ids were missing
    excluded_unmatched: list[str] = field(default_factory=list)  # names in exclusion lists that no row has
    sha256: str = ""  # of who is where
    seconds: float = 0.0

    def as_dict(self) -> dict:
        """For `--json`."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a person."""
        whole = sum(self.rows[part] for part in PARTS) or 1
        lines = [
            f"{part}: {self.rows[part]:,} rows ({self.rows[part] / whole:.1%}) in {self.groups[part]:,} sets"
            for part in PARTS
        ]
        lines.append(f"excluded: {self.rows[EXCLUDED]:,} rows in {self.groups[EXCLUDED]:,} sets")
        for dataset, parts in sorted(self.datasets.items()):
            counts = ", ".join(f"{part} {parts[part]:,}" for part in (*PARTS, EXCLUDED) if parts.get(part))
            lines.append(f"  {dataset or 'unknown'}: {counts}")
        lines.append(f"joined by {self.links:,} duplicate links, and by looks {self.cluster_links:,}")
        if self.excluded_unmatched:
            lines.append(f"{len(self.excluded_unmatched):,} names to exclude are not in this manifest")
        return [*lines, f"split {self.sha256[:12]} written to {self.out}"]


def run_split(manifest: Path | None, out: Path | None, *, fractions: str, **options) -> SplitSummary:
    """`split_manifest` as the command line calls it, with fractions as text. Raises `UserError`."""
    if manifest is None or out is None:
        raise UserError("say what to split and where to write it:  v2ir data split MANIFEST --out split.csv")
    return split_manifest(manifest, out, fractions=parse_fractions(fractions), **options)


def run_check(
    manifest: Path | None, *, split: Path | None, names: Path | None, links: Path | None, fractions: str
) -> Leakage:
    """`check_manifest`, or the check of a list of names by position. Raises `UserError`."""
    if (manifest is None) == (names is None):
        raise UserError("say what to check: a MANIFEST, with or without --split FILE, or --names seeds.json")
    if names is None:
        return check_manifest(manifest, split, links)[0]
    if split is not None or links is not None:
        raise UserError("--names is split by position and has no ids: leave --split and --links out")
    return check_names(read_names(names), parse_fractions(fractions))


def split_manifest(
    manifest: str | Path,
    out: str | Path,
    *,
    fractions: Sequence[float] = (0.9, 0.05, 0.05),
    links: str | Path | None = None,
    exclude: Sequence[str] = (),
    seed: int = 0,
    by_looks: bool = True,
    embeddings: np.ndarray | None = None,
    progress: bool = True,
) -> SplitSummary:
    """Split a manifest by group and write the split file OUT.

    links: the audit's table of duplicates. exclude: files of names, or datasets. by_looks: rows that are the only ones
    of their group are joined with look-alikes. embeddings: (N, D), a row for each row of the manifest, to compare
    instead of small grey pictures. Raises `UserError` for all bad input, and then writes nothing.
    """
    started = time.perf_counter()
    fractions = check_fractions(fractions)
    root, records = Path(manifest).parent, read_manifest(manifest)
    ids = [record.id for record in records]
    check_files(records, root)
    summary = SplitSummary(str(out), list(fractions), seed)
    outside, summary.excluded_unmatched = excluded_rows(records, exclude)
    joins = []
    if links is not None:
        pairs, summary.links_elsewhere = read_links(links, ids)
        joins.append(pairs)
        summary.links = len(pairs)
    if by_looks:
        joins.append(links_by_looks(records, root, embeddings, progress))
        summary.cluster_links = len(joins[-1])
    records = with_hashes(records, root, progress)
    names, parts = split_records(records, fractions, seed=seed, links=joins, excluded=outside)
    rows = [
        SplitRow(record.id, name, part, record.visible_sha256, record.infrared_sha256)
        for record, name, part in zip(records, names, parts, strict=True)
    ]
    write_split(out, rows)
    _count(summary, records, rows)
    summary.seconds = round(time.perf_counter() - started, 3)
    return summary


def check_manifest(
    manifest: str | Path, split: str | Path | None = None, links: str | Path | None = None
) -> tuple[Leakage, int]:
    """Leakage of a split file, or of the manifest's own split column; and the links that are another manifest's.

    Raises `UserError` for a manifest without a split, and for a split file that does not fit.
    """
    records = read_manifest(manifest)
    if split is not None:
        parts = fit_split(records, read_split(split), split)
    elif not any(record.split for record in records):
        raise UserError(f"{manifest} has no split to check: give one with --split, or make one with --out")
    else:
        parts = [record.split for record in records]
    if "train" not in parts or not {"val", "test"} & set(parts):
        raise UserError("nothing to check: the split has no training rows, or neither val nor test rows")
    pairs, elsewhere = read_links(links, [record.id for record in records]) if links is not None else (None, 0)
    return check_records(records, parts, pairs), elsewhere


def links_by_looks(
    records: Sequence[Record], root: Path, embeddings: np.ndarray | None = None, progress: bool = True
) -> np.ndarray:
    """Links, (L, 2) row numbers, between rows of one dataset that are alone in their groups and look alike.

    Without embeddings the small grey pictures of both modalities decide together.
    """
    if embeddings is not None and len(embeddings) != len(records):
        raise UserError(f"{len(embeddings)} embeddings for {len(records)} rows: give one for each row")
    lonely: dict[tuple[str, bool, bool], list[int]] = {}
    for row in lonely_rows(records):
        record = records[row]
        lonely.setdefault((record.dataset, bool(record.visible), bool(record.infrared)), []).append(row)
    found = [np.zeros((0, 2), np.int64)]
    for (dataset, *kinds), some in lonely.items():
        if len(some) < 2:
            continue
        if progress:
            tqdm.write(
                f"{dataset or 'no dataset'}: {len(some):,} rows without a sequence; joining by looks", sys.stderr
            )
        if embeddings is not None:
            features = unit_length(np.asarray(embeddings)[some])
        else:
            there = [kind for kind, is_there in zip(("visible", "infrared"), kinds, strict=True) if is_there]
            pictures = [grey_features([records[row] for row in some], kind, root, progress) for kind in there]
            features = unit_length(np.hstack(pictures))
        series, numbers = zip(*(frame_number(records[row]) for row in some), strict=True)
        pairs = np.concatenate([temporal_links(series, numbers, features), alike_links(features)])
        found.append(np.array(some)[pairs].reshape(-1, 2))
    return np.concatenate(found)


def _count(summary: SplitSummary, records: Sequence[Record], rows: Sequence[SplitRow]) -> None:
    for part in (*PARTS, EXCLUDED):
        summary.rows[part] = sum(row.split == part for row in rows)
        summary.groups[part] = len({row.group for row in rows if row.split == part})
    for record, row in zip(records, rows, strict=True):
        summary.datasets.setdefault(record.dataset, Counter())[row.split] += 1
    summary.datasets = {name: dict(parts) for name, parts in summary.datasets.items()}
    summary.sha256 = fingerprint(rows)
