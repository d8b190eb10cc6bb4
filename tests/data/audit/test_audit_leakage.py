"""Links between rows: which side is set aside, and which may stay."""

import numpy as np
import pytest

from v2ir_lib.data.audit.duplicates import Link
from v2ir_lib.data.audit.leakage import across, find_links, judge_links, keeping_order, ungrouped
from v2ir_lib.data.audit.measure import Measured, Row
from v2ir_lib.data.audit.reasons import Finding
from v2ir_lib.records import Record


def record(name: str, group: str = "g", **known) -> Record:
    return Record(name, group, "v", "i", **known)


def judged(records: list[Record], pairs: list[tuple[int, int]], kind: str = "near", faulty=()) -> dict[str, str]:
    """{id: verdict} after judging links between these rows."""
    findings = [Finding() for _ in records]
    for i in faulty:
        findings[i].add("truncated", "visible, the file is cut short")
    loose = ungrouped(records)
    links = [Link(a, b, kind, 0, 1.0, across(records[a], records[b], loose)) for a, b in pairs]
    judge_links(records, links, findings, keeping_order(records, findings))
    return {r.id: finding.verdict for r, finding in zip(records, findings, strict=True)}


@pytest.mark.parametrize(
    "a, b, expected",
    [
        (dict(), dict(), ""),
        (dict(), dict(group="h"), "group"),
        (dict(dataset="FLIR"), dict(dataset="RoadScene"), "dataset"),
        (dict(split="train"), dict(split="test"), "split"),
        (dict(split="train"), dict(), ""),
        (dict(split="train", dataset="FLIR"), dict(split="test", dataset="RoadScene"), "split"),
    ],
)
def test_what_lies_between(a, b, expected):
    assert across(record("a", **a), record("b", **b), set()) == expected


def test_rows_that_are_their_own_groups_are_not_across():
    loose = [record("a", "a"), record("b", "b")]
    assert ungrouped(loose) == {""} and across(*loose, ungrouped(loose)) == ""
    known = [*loose, record("c", "scene")]
    assert ungrouped(known) == set() and across(*loose, ungrouped(known)) == "group"


def test_near_in_one_group_is_a_note_for_both():
    assert judged([record("a"), record("b")], [(0, 1)]) == {"a": "note", "b": "note"}


def test_of_two_groups_the_later_row_goes():
    assert judged([record("a"), record("b", "h")], [(0, 1)]) == {"a": "note", "b": "bad"}


def test_the_test_set_stays_whole():
    records = [record("a", split="train"), record("b", split="test"), record("c", split="val")]
    assert judged(records, [(0, 1), (0, 2)]) == {"a": "bad", "b": "note", "c": "note"}


def test_exact_copies_in_one_group_leave_one():
    assert judged([record("a"), record("b"), record("c")], [(0, 1), (0, 2)], "exact") == {
        "a": "note",
        "b": "bad",
        "c": "bad",
    }


def test_the_faulty_copy_goes_first():
    assert judged([record("a"), record("b", "h")], [(0, 1)], faulty=[0]) == {"a": "bad", "b": "note"}


def test_a_row_whose_twin_is_set_aside_already_may_stay():
    """a–b and b–c, but not a–c: without b there is no conflict left."""
    records = [record("a", "1"), record("b", "2"), record("c", "3")]
    assert judged(records, [(0, 1), (1, 2)]) == {"a": "note", "b": "bad", "c": "ok"}


def test_two_cameras_beside_one_visible_picture_are_no_news():
    records = [record("a", band="lwir"), record("b", band="mwir")]
    assert judged(records, [(0, 1)], "exact_visible") == {"a": "ok", "b": "ok"}
    assert judged([records[0], record("c", "h", band="mwir")], [(0, 1)], "exact_visible")["c"] == "bad"


def test_empty_pictures_are_not_alike():
    """Two shutters look the same and say nothing of leakage."""
    blank = dict(width=9, height=9, fingerprint=np.full((24, 32), 8, np.uint8).tobytes(), spread=2.0)
    rows = [Row(Measured(sha256=f"v{i}", **blank), Measured(sha256=f"i{i}", **blank)) for i in range(3)]
    records = [record(name, name) for name in "abc"]
    assert find_links(records, rows, [0, 1, 2]) == []
    same = [Row(Measured(sha256="v", **blank), Measured(sha256="i", **blank)) for _ in range(2)]
    assert [link.kind for link in find_links(records[:2], same, [0, 1])] == ["exact"]
