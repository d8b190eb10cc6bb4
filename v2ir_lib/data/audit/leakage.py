"""What links between rows mean: which copy is kept, and what would leak from training to test."""

from collections import defaultdict
from dataclasses import replace

import numpy as np

from v2ir_lib.data.audit.checks import FAINT
from v2ir_lib.data.audit.duplicates import Link, exact_links, near_links
from v2ir_lib.data.audit.measure import Measured, Row
from v2ir_lib.data.audit.reasons import Finding
from v2ir_lib.data.audit.verdicts import fingerprints
from v2ir_lib.records import Record

KEPT_FIRST = {"test": 0, "val": 1, "train": 2, "": 3}  # published test sets stay comparable: their copy is the one kept
WORDS = {
    "exact": "the same files as",
    "exact_visible": "the same visible file as",
    "exact_infrared": "the same infrared file as",
    "near": "nearly the same pictures as",
    "near_visible": "nearly the same visible picture as",
}


def keeping_order(records: list[Record], findings: list[Finding]) -> list[int]:
    """Row numbers, those first whose copy is kept: rows without faults; test, val, train; the order of the manifest."""
    faulty = [finding.verdict == "bad" for finding in findings]
    return sorted(range(len(records)), key=lambda i: (faulty[i], KEPT_FIRST.get(records[i].split, 3), i))


def find_links(records: list[Record], rows: list[Row], order: list[int]) -> list[Link]:
    """Exact and near duplicates among all rows, inside and across data sets; `order` is `keeping_order`'s."""
    columns = {"visible": [row.visible for row in rows], "infrared": [row.infrared for row in rows]}
    exact = exact_links(*([p.sha256 if p else "" for p in pictures] for pictures in columns.values()), order)
    phash = {name: np.array([p.phash if p else 0 for p in ps], np.uint64) for name, ps in columns.items()}
    prints = {name: fingerprints(pictures) for name, pictures in columns.items()}
    usable = {name: np.array([_shows_something(p) for p in ps], bool) for name, ps in columns.items()}
    groups = [f"{record.dataset}\0{record.group}" for record in records]
    known = {(link.a, link.b) for link in exact if link.kind == "exact"}
    shared = {(link.a, link.b) for link in exact}
    near = [
        link
        for link in near_links(groups, phash, prints, usable)
        if (link.a, link.b) not in known and not (link.kind == "near_visible" and (link.a, link.b) in shared)
    ]
    loose = ungrouped(records)
    return [replace(link, across=across(records[link.a], records[link.b], loose)) for link in exact + near]


def ungrouped(records: list[Record]) -> set[str]:
    """Data sets whose importer knew no sequences: each row is its own group."""
    return {record.dataset for record in records} - {r.dataset for r in records if r.group != r.id}


def _shows_something(picture: Measured | None) -> bool:
    return picture is not None and picture.readable and picture.spread > FAINT


def across(a: Record, b: Record, loose: set[str]) -> str:
    """What lies between two rows: "split", "dataset", "group", or "" where they may well be alike.

    In `loose` data sets, the `ungrouped` ones, frames of one video have different groups: that is "".
    """
    if a.split and b.split and a.split != b.split:
        return "split"
    if a.dataset != b.dataset:
        return "dataset"
    return "group" if a.group != b.group and a.dataset not in loose else ""


def judge_links(records: list[Record], links: list[Link], findings: list[Finding], order: list[int]) -> None:
    """Add what links mean to the findings. Of two that cannot both stay, the later in `order` is set aside."""
    rank = np.argsort(order)
    conflicts = defaultdict(list)
    for link in links:
        if link.kind == "exact" or link.across:
            first, second = sorted((link.a, link.b), key=rank.__getitem__)
            conflicts[second].append((first, link))
        elif not _two_cameras(records[link.a], records[link.b]):
            for i, other in ((link.a, link.b), (link.b, link.a)):
                findings[i].add("near", _words(link, records[other]), -link.distance, other)
    aside = set()
    for second in sorted(conflicts, key=rank.__getitem__):
        kept = [conflict for conflict in conflicts[second] if conflict[0] not in aside]
        for first, link in kept:
            aside.add(second)
            code = "leak" if link.across == "split" else "duplicate" if link.kind == "exact" else "other_group"
            findings[second].add(code, _words(link, records[first]) + _where(records, link), -link.distance, first)
            findings[first].add("kept", _words(link, records[second]), -link.distance, second)


def _two_cameras(a: Record, b: Record) -> bool:
    """Several infrared cameras beside one visible one share its file, and mean no harm."""
    return (a.band, a.camera) != (b.band, b.camera)


def _words(link: Link, other: Record) -> str:
    return f"{WORDS[link.kind]} {other.id}" + (f" ({link.distance} bits)" if link.kind.startswith("near") else "")


def _where(records: list[Record], link: Link) -> str:
    a, b = records[link.a], records[link.b]
    if not link.across:
        return ""
    first, second = getattr(a, link.across) or "unnamed", getattr(b, link.across) or "unnamed"
    return f", across {link.across}s {first} and {second}"
