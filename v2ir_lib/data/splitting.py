"""Splits without leakage: what belongs together stays together, in the proportions asked for (paper section 4).

Rows are joined by group, by equal files, by duplicate links and by looks where ids are missing; the sets that result
are dealt to train, val and test, dataset by dataset, day and night apart. A set's place depends on the seed and on its
own dataset alone: neither the order of the rows nor a further dataset of enough sets moves it.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

import numpy as np

from v2ir_lib.data.union_find import joined, same_key
from v2ir_lib.errors import UserError
from v2ir_lib.records import Record

PARTS = ("train", "val", "test")
EXCLUDED = "excluded"  # the row stays in the split file, and out of every part


def parse_fractions(text: str) -> tuple[float, ...]:
    """ "0.9,0.05,0.05" as numbers that have been checked. Raises `UserError`."""
    try:
        return check_fractions([float(share) for share in text.split(",")])
    except ValueError:
        raise UserError(f"--fractions {text}: give three numbers with commas, such as 0.9,0.05,0.05") from None


def check_fractions(fractions: Sequence[float]) -> tuple[float, ...]:
    """Shares of train, val and test. Raises `UserError` unless they are three, in [0, 1], with a sum of 1."""
    text = ",".join(f"{share:g}" for share in fractions)
    if len(fractions) != len(PARTS) or not all(math.isfinite(share) and 0 <= share <= 1 for share in fractions):
        raise UserError(f"--fractions {text}: give three shares between 0 and 1, for train, val and test")
    if abs(sum(fractions) - 1) > 1e-6:
        raise UserError(f"--fractions {text} have a sum of {sum(fractions):g}: it must be 1")
    return tuple(fractions)


def group_key(record: Record) -> str:
    """The row's scene or sequence, by a name that no other dataset has."""
    group = record.group or record.id
    return group if not record.dataset or group.startswith(f"{record.dataset}/") else f"{record.dataset}/{group}"


def lonely_rows(records: Sequence[Record]) -> list[int]:
    """Rows that are the only ones of their group: perhaps nobody knew the sequence (M3FD), so looks must decide."""
    counts = Counter(map(group_key, records))
    return [row for row, record in enumerate(records) if counts[group_key(record)] == 1]


def components(records: Sequence[Record], links: Sequence[np.ndarray] = ()) -> list[str]:
    """For each row the name of the set it belongs to: the first, in the alphabet, of the groups that were joined.

    links: arrays of (L, 2) row numbers. Rows of one group, and rows that share a file's SHA-256, are joined anyway.
    """
    keys = [group_key(record) for record in records]
    hashes = [[record.visible_sha256 for record in records], [record.infrared_sha256 for record in records]]
    labels = joined(len(records), same_key(keys), *map(same_key, hashes), *links).tolist()
    names: dict[int, str] = {}
    for label, key in zip(labels, keys, strict=True):
        names[label] = min(names.get(label, key), key)
    return [names[label] for label in labels]


def split_records(
    records: Sequence[Record],
    fractions: Sequence[float] = (0.9, 0.05, 0.05),
    *,
    seed: int = 0,
    links: Sequence[np.ndarray] = (),
    excluded: Collection[int] = (),
) -> tuple[list[str], list[str]]:
    """For each row its set and its part: "train", "val", "test" or "excluded".

    links: arrays of (L, 2) row numbers that belong together. excluded: row numbers; the whole set of such a row stays
    out, for its siblings and duplicates would give it away. Raises `UserError` for bad fractions, for nothing to
    split, and for too few sets.
    """
    wanted = [part for part, share in zip(PARTS, check_fractions(fractions), strict=True) if share]
    shares = {part: share for part, share in zip(PARTS, fractions, strict=True) if share}
    names = components(records, links)
    out = {names[row] for row in excluded}
    members: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        if name not in out:
            members[name].append(row)
    if not members:
        raise UserError("nothing is left to split: every row is excluded" if records else "the manifest has no rows")
    if len(members) < len(wanted):
        raise UserError(
            f"too few groups for a split: {len(members)} set{'s' * (len(members) > 1)} of rows that belong together, "
            f"and {len(wanted)} parts; give more sequences, or fewer parts (--fractions 1,0,0)"
        )
    place: dict[str, str] = {}
    for stratum in _strata(records, members, len(wanted)):
        place |= _deal({name: len(members[name]) for name in stratum}, shares, seed)
    return names, [place.get(name, EXCLUDED) for name in names]


def _strata(records: Sequence[Record], members: dict[str, list[int]], least: int) -> list[list[str]]:
    """Sets to be dealt together: by dataset, and by day and night where each has at least `least` sets.

    Datasets with fewer sets than that are dealt together.
    """
    by_dataset: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in sorted(members):
        kinds = Counter((records[row].dataset, records[row].time) for row in members[name])
        dataset, time = min(kinds, key=lambda kind: (-kinds[kind], kind))
        by_dataset[dataset][time].append(name)
    strata, small = [], []
    for times in by_dataset.values():
        whole = [name for names in times.values() for name in names]
        if len(whole) < least:
            small += whole
        elif min(map(len, times.values())) < least:
            strata.append(whole)
        else:
            strata += times.values()
    return [*strata, small] if small else strata


def _deal(sizes: dict[str, int], shares: dict[str, float], seed: int) -> dict[str, str]:
    """Deal one stratum's sets, in an order of the seed, so that each part comes as near its share as the sets allow.

    A set goes to val or test while that brings the part nearer to its size; the rest is train's. A part that would stay
    empty gets the smallest set that train can spare.
    """
    total = sum(sizes.values())
    missing = {part: share * total for part, share in shares.items()}
    rest, *others = missing  # "train", unless it has no share
    place = {}
    for name in sorted(sizes, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest()):
        nearer = [part for part in others if sizes[name] < 2 * missing[part]]
        part = max(nearer, key=lambda part: missing[part] / shares[part]) if nearer else rest
        missing[part] -= sizes[name]
        place[name] = part
    for part in others:
        spare = sorted((size, name) for name, size in sizes.items() if place[name] == rest)
        if part not in place.values() and len(spare) > 1:
            place[spare[0][1]] = part
    if rest not in place.values() and len(sizes) > len(others):
        counts = Counter(place.values())
        name = max((name for name in sizes if counts[place[name]] > 1), key=lambda name: (sizes[name], name))
        place[name] = rest
    return place
