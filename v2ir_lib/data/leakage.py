"""What a split gives away: val and test rows that share a sequence, a scene, a group or a duplicate with training."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from v2ir_lib.data.sources import parse_name
from v2ir_lib.data.splitting import PARTS, check_fractions, group_key
from v2ir_lib.errors import UserError
from v2ir_lib.records import Record

AUTHORS = (0.9, 0.05, 0.05)  # the released loader's positional shares


@dataclass
class Part:
    """One dataset's rows in one part. `carrying` and `shared` count by kind: sequence, scene, group, file, link."""

    rows: int = 0
    carrying: dict[str, int] = field(default_factory=dict)  # rows that have such an id at all
    shared: dict[str, int] = field(default_factory=dict)  # rows whose id training has too
    leaking: int = 0  # rows with any of them
    next_to_training: int = 0  # rows whose number is next to one of training; a hint where there are no ids, no proof
    names: list[str] = field(default_factory=list)  # the leaking rows

    def add(self, other: "Part") -> None:
        """Count the other part's rows too; the names stay where they are."""
        for mine, theirs in ((self.carrying, other.carrying), (self.shared, other.shared)):
            for kind, count in theirs.items():
                mine[kind] = mine.get(kind, 0) + count
        self.rows += other.rows
        self.leaking += other.leaking
        self.next_to_training += other.next_to_training


@dataclass
class Leakage:
    """Parts by dataset ("" where unknown), then by name: train, val, test."""

    datasets: dict[str, dict[str, Part]]

    @property
    def leaks(self) -> bool:
        """Whether any val or test row shares something with training."""
        return any(part.leaking for parts in self.datasets.values() for part in parts.values())

    def total(self, name: str) -> Part:
        """One part of all datasets together."""
        whole = Part()
        for parts in self.datasets.values():
            whole.add(parts.get(name, Part()))
        return whole

    def as_dict(self) -> dict:
        """For `--json`: totals, then each dataset with the names of its leaking rows."""
        total = {name: {k: v for k, v in vars(self.total(name)).items() if k != "names"} for name in PARTS}
        parts = {name: {part: vars(found) for part, found in some.items()} for name, some in self.datasets.items()}
        return {"leaks": self.leaks, "total": total, "datasets": parts}

    def lines(self) -> list[str]:
        """For a person: a line for val and test of everything and of each dataset, with a few names."""
        lines = [_line("all", name, self.total(name)) for name in PARTS[1:]]
        for dataset, parts in sorted(self.datasets.items()):
            lines += [_line(dataset or "unknown", name, parts[name]) for name in PARTS[1:] if name in parts]
        return lines


def find_leakage(
    names: Sequence[str],
    datasets: Sequence[str],
    parts: Sequence[str],
    keys: dict[str, Sequence[str]],
    links: np.ndarray | None = None,
    numbers: Sequence[tuple[str, int]] = (),
) -> Leakage:
    """Compare the val and test rows with training.

    names, datasets, parts: (N,) each. keys: by kind, an id for each row, "" where it has none. links: (L, 2) row
    numbers of duplicates. numbers: for each row its series and its number there, negative where it has none.
    """
    keys = {kind: list(values) for kind, values in keys.items()}
    if links is not None:
        keys["link"] = ["linked" if linked else "" for linked in np.isin(np.arange(len(names)), links)]
    training = {kind: {k for k, part in zip(keys[kind], parts, strict=True) if k and part == "train"} for kind in keys}
    if links is not None:
        train = np.array([part == "train" for part in parts], bool)
        touched = {int(a) for x, y in (links.T, links.T[::-1]) for a, b in zip(x, y, strict=True) if train[b]}
    trained = {number for number, part in zip(numbers, parts, strict=False) if part == "train" and number[1] >= 0}
    found: dict[str, dict[str, Part]] = defaultdict(dict)
    for row, (name, dataset, part) in enumerate(zip(names, datasets, parts, strict=True)):
        if part not in PARTS:
            continue
        here = found[dataset].setdefault(part, Part())
        here.rows += 1
        kinds = [kind for kind in keys if keys[kind][row]]
        for kind in kinds:
            here.carrying[kind] = here.carrying.get(kind, 0) + 1
        if part == "train":
            continue
        shared = [k for k in kinds if (row in touched if k == "link" else keys[k][row] in training[k])]
        for kind in shared:
            here.shared[kind] = here.shared.get(kind, 0) + 1
        if shared:
            here.leaking += 1
            here.names.append(name)
        if numbers and numbers[row][1] >= 0:
            series, number = numbers[row]
            here.next_to_training += (series, number - 1) in trained or (series, number + 1) in trained
    return Leakage(dict(found))


def check_records(records: Sequence[Record], parts: Sequence[str], links: np.ndarray | None = None) -> Leakage:
    """Leakage of a split of a manifest: by group, by sequence or scene in the file's name, by equal file, by link."""
    named = [parse_name(record.visible or record.infrared) for record in records]
    keys = {
        "group": [group_key(record) for record in records],
        "sequence": [name.group for name in named],
        "visible file": [record.visible_sha256 for record in records],
        "infrared file": [record.infrared_sha256 for record in records],
    }
    numbers = [frame_number(record) for record in records]
    ids, datasets = [record.id for record in records], [record.dataset for record in records]
    return find_leakage(ids, datasets, parts, keys, links, numbers)


def check_names(names: Sequence[str], fractions: Sequence[float] = AUTHORS) -> Leakage:
    """Leakage of a list that is split by position, from its names alone: the released code's `seeds.json`."""
    parsed = [parse_name(name) for name in names]
    keys: dict[str, Sequence[str]] = {"name": names}  # the same name twice would be a leak too
    keys |= {kind: [n.group if n.kind == kind else "" for n in parsed] for kind in ("sequence", "scene")}
    numbers = [(name.series, name.frame) for name in parsed]
    parts = positional(len(names), fractions)
    return find_leakage(names, [name.source for name in parsed], parts, keys, numbers=numbers)


def positional(count: int, fractions: Sequence[float] = AUTHORS) -> list[str]:
    """Parts by position: the first share is train's, then val's; a boundary is rounded down."""
    train, val, _ = check_fractions(fractions)
    ends = math.floor(train * count + 1e-9), math.floor((train + val) * count + 1e-9)
    return ["train"] * ends[0] + ["val"] * (ends[1] - ends[0]) + ["test"] * (count - ends[1])


def read_names(path: str | Path) -> list[str]:
    """The names of a `seeds.json`: [[name], …], [[name, seeds], …] or [name, …]. Raises `UserError`."""
    try:
        items = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({str(error).splitlines()[0]})") from None
    names = [item[0] if isinstance(item, list) and item else item for item in items] if isinstance(items, list) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path} is no list of names: [[name], …] is expected, as in the authors' seeds.json")
    return names


def frame_number(record: Record) -> tuple[str, int]:
    """What a row's number counts within (its folder), and the number: its frame, or the last digits of its name."""
    path = Path(record.visible or record.infrared)
    digits = re.findall(r"\d+", path.stem)
    number = record.frame if record.frame >= 0 else int(digits[-1]) if digits else -1
    return f"{record.dataset}:{record.camera}:{path.parent.as_posix()}", number


def _line(dataset: str, name: str, part: Part) -> str:
    said = [f"{part.carrying[kind]:,} carry a {kind} id" for kind in ("sequence", "scene") if kind in part.carrying]
    said += [f"{count:,} share a {kind} with training" for kind, count in part.shared.items()]
    if part.next_to_training and not part.leaking:
        said.append(f"{part.next_to_training:,} have a number next to one of training: perhaps one video")
    shown = ", ".join(part.names[:3]) + (" …" if len(part.names) > 3 else "")
    whole = f"{part.leaking:,} of {part.rows:,} leak"
    return f"{dataset} {name}: {whole}" + "".join(f"; {words}" for words in said) + (f" ({shown})" if shown else "")
