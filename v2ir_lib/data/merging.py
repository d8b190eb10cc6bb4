"""`v2ir data merge`: several manifests as one, so that audit and split see all data sets together.

Paper, §4: IR-500K is many data sets put together. What two of them share shows only where both are in one manifest.
Pictures stay where they are.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tqdm.auto import tqdm

from v2ir_lib.data.split_file import check_files
from v2ir_lib.errors import UserError
from v2ir_lib.records import Record, read_manifest, rebased, write_manifest

NAMED = 3  # ids in a message
UNTELLING = "manifest"  # a file name that says nothing: the folder's name is taken


@dataclass
class MergeSummary:
    """What was put together; counts are of rows."""

    out: str
    rows: int = 0
    manifests: dict[str, int] = field(default_factory=dict)
    datasets: dict[str, dict[str, int]] = field(default_factory=dict)  # pairs, infrared_only, groups
    named: dict[str, str] = field(default_factory=dict)  # manifest → the dataset that its rows without one got
    renamed: dict[str, int] = field(default_factory=dict)  # dataset → rows whose id it now begins
    shared_files: int = 0  # rows with a picture that a row of an earlier manifest has too (SHA-256)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict:
        """For `--json`."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a person."""
        lines = [f"{self.rows:,} rows of {len(self.manifests)} manifests"]
        for name, counts in sorted(self.datasets.items()):
            said = f"{counts['pairs']:,} pairs, {counts['infrared_only']:,} infrared alone"
            lines.append(f"  {name}: {said}, in {counts['groups']:,} groups")
        lines += [f"note: rows of {path} had no dataset: called {name}" for path, name in self.named.items()]
        lines += [f"note: {n:,} ids now begin with {name}/" for name, n in self.renamed.items()]
        lines += [f"note: {note}" for note in self.notes]
        return [*lines, f"manifest: {self.out} ({self.seconds:.1f} s)"]


def merge_manifests(manifests: Sequence[str | Path], out: str | Path, progress: bool = True) -> MergeSummary:
    """Write the rows of all manifests, in the order given, to the manifest `out` (.parquet or .csv).

    Relative paths are led from the new manifest's folder to the same files. Rows without a dataset get the name of
    their manifest, or of its folder where it is called "manifest". Where two datasets share an id, all ids of both
    get the dataset's name before them. Raises `UserError`, and then writes nothing, for fewer than two manifests, the
    same one twice, one without rows or with pictures that are not there, and ids that stay double.
    """
    started = time.perf_counter()
    paths, out = [Path(path) for path in manifests], Path(out)
    _check_given(paths, out)
    summary = MergeSummary(str(out))
    parts = []
    for path in tqdm(paths, desc="merging", unit="manifest", disable=not progress):
        records = read_manifest(path)
        if not records:
            raise UserError(f"{path} has no rows: leave it out")
        check_files(records, path.parent)
        summary.manifests[str(path)] = len(records)
        parts.append(_with_dataset(rebased(records, path.parent, out.parent), path, summary))
    parts = _with_own_ids(parts, summary)
    _refuse_double(paths, parts)
    _note_twice(paths, parts, summary)
    merged = [record for part in parts for record in part]
    write_manifest(out, merged)
    _count(summary, merged)
    summary.seconds = round(time.perf_counter() - started, 3)
    return summary


def _check_given(paths: list[Path], out: Path) -> None:
    """Everything that can be known to be wrong before reading."""
    if len(paths) < 2:
        raise UserError("give two manifests or more:  v2ir data merge A.parquet B.parquet --out all.parquet")
    if out.suffix not in (".parquet", ".csv"):
        raise UserError(f"{out.name} is neither .parquet nor .csv: the suffix decides the manifest's format")
    if out.is_dir():
        raise UserError(f"{out} is a folder: give the manifest's file name")
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise UserError(f"{path} is given twice: its rows would all be double")
        seen.add(path.resolve())
    if out.resolve() in seen:
        raise UserError(f"--out would overwrite {out}, one of the manifests: choose another name")


def _with_dataset(records: list[Record], path: Path, summary: MergeSummary) -> list[Record]:
    """Rows without a dataset get a name by which their ids and groups differ from those of other manifests."""
    if all(record.dataset for record in records):
        return records
    name = path.resolve().parent.name if path.stem == UNTELLING else path.stem
    for other, taken in summary.named.items():
        if taken == name:
            raise UserError(f"{other} and {path} would both be the dataset {name}: rename one of the files")
    summary.named[str(path)] = name
    return [record if record.dataset else replace(record, dataset=name) for record in records]


def _with_own_ids(parts: list[list[Record]], summary: MergeSummary) -> list[list[Record]]:
    """Of datasets that share an id with another one, all ids begin with the dataset's name."""
    owners: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        for record in part:
            owners[record.id].add(record.dataset)
    sharing = {dataset for names in owners.values() if len(names) > 1 for dataset in names}

    def own(record: Record) -> Record:
        if record.dataset not in sharing or record.id.startswith(f"{record.dataset}/"):
            return record
        summary.renamed[record.dataset] = summary.renamed.get(record.dataset, 0) + 1
        new = f"{record.dataset}/{record.id}"
        # a row whose group is its id has no known group: that must still show
        return replace(record, id=new, group=new if record.group == record.id else record.group)

    return [[own(record) for record in part] for part in parts]


def _refuse_double(paths: list[Path], parts: list[list[Record]]) -> None:
    first: dict[str, Path] = {}
    for path, part in zip(paths, parts, strict=True):
        double = []
        for record in part:
            if record.id in first:
                double.append(record.id)
            first.setdefault(record.id, path)
        if double:
            some = ", ".join(double[:NAMED]) + (" …" if len(double) > NAMED else "")
            raise UserError(
                f"{first[double[0]]} and {path} share {len(double)} ids ({some}): "
                "the same data set twice? Leave one out, or give its rows ids of their own"
            )


def _note_twice(paths: list[Path], parts: list[list[Record]], summary: MergeSummary) -> None:
    """Say which datasets are in several manifests, and how many rows have a picture that an earlier manifest has."""
    homes: dict[str, list[int]] = defaultdict(list)
    for number, part in enumerate(parts):
        for dataset in dict.fromkeys(record.dataset for record in part):
            homes[dataset].append(number)
    for dataset, numbers in homes.items():
        if len(numbers) > 1:
            where = " and ".join(str(paths[number]) for number in numbers)
            groups = Counter(g for n in numbers for g in {r.group for r in parts[n] if r.dataset == dataset})
            common = sum(count > 1 for count in groups.values())
            summary.notes.append(f"{dataset} is in {where}, {common:,} groups in both: is it the same data set twice?")
    known: set[str] = set()
    for part in parts:
        files = [{record.visible_sha256, record.infrared_sha256} - {""} for record in part]
        summary.shared_files += sum(not known.isdisjoint(some) for some in files)
        known.update(*files)
    if summary.shared_files:
        summary.notes.append(
            f"{summary.shared_files:,} rows have a picture that an earlier manifest has too; v2ir data audit names them"
        )


def _count(summary: MergeSummary, records: list[Record]) -> None:
    summary.rows = len(records)
    groups: dict[str, set[str]] = defaultdict(set)
    for record in records:
        counts = summary.datasets.setdefault(record.dataset, {"pairs": 0, "infrared_only": 0, "groups": 0})
        counts["pairs" if record.visible else "infrared_only"] += 1
        groups[record.dataset].add(record.group)
    for dataset, names in groups.items():
        summary.datasets[dataset]["groups"] = len(names)
