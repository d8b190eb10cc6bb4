"""What measurements mean: sizes within a pair and within a data set, frames, contrast, hashes, offsets."""

from dataclasses import replace

import pytest

from v2ir_lib.data.audit.alignment import Offset
from v2ir_lib.data.audit.measure import Measured, Row
from v2ir_lib.data.audit.verdicts import judge_rows
from v2ir_lib.records import Record

GOOD = Measured(sha256="s", width=320, height=240, mean=90.0, spread=180.0, colour=0.0)


def codes(rows: list[Row], **known) -> list[set[str]]:
    records = [Record(f"r{i}", f"g{i}", "v", "i", **known) for i in range(len(rows))]
    return [{reason.code for reason in finding.reasons} for finding in judge_rows(records, rows)[0]]


def row(infrared: dict | None = None, visible: dict | None = None, offset: Offset | None = None) -> Row:
    return Row(replace(GOOD, **(visible or {})), replace(GOOD, **(infrared or {})), offset)


@pytest.mark.parametrize(
    "infrared, expected",
    [
        ({}, set()),
        ({"mean": 2.0, "spread": 2.0}, {"black"}),
        ({"mean": 254.0, "spread": 0.0}, {"black"}),
        ({"mean": 90.0, "spread": 3.0}, {"constant"}),
        ({"spread": 4.0}, {"faint"}),
        ({"colour": 10.0}, set()),
        ({"colour": 11.0}, {"colour_mapped"}),
        ({"borders": (9, 0, 9, 0), "border_grey": 0}, {"border"}),
        ({"borders": (0, 9, 0, 0), "border_grey": 0}, {"edge"}),
        ({"borders": (3, 0, 0, 0), "border_grey": 0}, {"edge"}),
        ({"width": 256}, {"size"}),
        ({"width": 322}, {"odd_size"}),
    ],
)
def test_one_picture(infrared, expected):
    assert codes([row(infrared)]) == [expected]


def test_visible_colour_is_no_fault():
    assert codes([row(visible={"colour": 120.0})]) == [set()]


def test_unreadable_files_are_named_by_their_error():
    bad = Row(Measured("truncated", "the file is cut short"), Measured("missing", "the file is not there"))
    records = [Record("a", "g", "v", "i")]
    finding = judge_rows(records, [bad])[0][0]
    assert finding.verdict == "bad"
    assert finding.text == "truncated: visible, the file is cut short; missing: infrared, the file is not there"


def test_infrared_alone_is_judged_alone():
    rows = [Row(None, GOOD), Row(None, replace(GOOD, mean=1.0, spread=0.0))]
    assert codes(rows) == [set(), {"black"}]


@pytest.mark.parametrize(
    "x, y, clarity, expected",
    [(3, 0, 1.5, set()), (0, -4, 1.5, {"offset"}), (5, 5, 1.5, {"misaligned"}), (5, 5, 1.1, set())],
)
def test_offsets_by_part_of_the_longer_side(x, y, clarity, expected):
    """3, 4 and 7.1 of 320 pixels are 0.9, 1.25 and 2.2%."""
    assert codes([row(offset=Offset(x, y, 0.4, clarity))]) == [expected]


def test_offsets_are_told_by_their_direction():
    finding = judge_rows([Record("a", "g", "v", "i")], [row(offset=Offset(-8.2, 12.1, 0.4, 1.5))])[0][0]
    assert finding.text == "misaligned: infrared lies 8 px left and 12 px down, 4.6% of the picture"


def test_sizes_are_compared_with_the_data_set():
    half, third = {"width": 160, "height": 120}, {"width": 108, "height": 81}
    rows = [row(half) for _ in range(9)]
    assert codes(rows) == [set()] * 9
    assert codes([*rows, row(third)])[-1] == {"size"}, "another scale between the two"
    assert codes([*rows, row({"width": 159, "height": 119})])[-1] == {"odd_size"}, "a pixel is no other scale"
    larger = row({"width": 320, "height": 240}, {"width": 640, "height": 480})
    assert codes([*rows, larger])[-1] == {"odd_size"}, "the same scale, another size"


def test_a_data_set_of_many_sizes_has_no_odd_ones():
    rows = [row(size, size) for size in ({"width": 320, "height": 150 + 9 * i} for i in range(12))]
    assert codes(rows) == [set()] * 12


def test_in_a_few_rows_different_sizes_are_noted():
    assert codes([row({"width": 160, "height": 120})] * 2) == [{"odd_size"}] * 2


def test_a_file_that_is_not_the_imported_one():
    assert codes([row()], visible_sha256="s", infrared_sha256="other") == [{"changed"}]
