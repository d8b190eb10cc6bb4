"""Manifests: read back as written, forgiving where spreadsheets are careless, clear where something is missing."""

import pytest

from v2ir_lib.errors import UserError
from v2ir_lib.records import Record, read_manifest, write_manifest


def test_round_trip(tmp_path):
    records = [
        Record("a", "g", "v/a.png", "i/a.png", "lwir", "cam", "a street, with a car"),
        Record("b", "g", "v", "i"),
    ]
    write_manifest(tmp_path / "m.csv", records)
    assert read_manifest(tmp_path / "m.csv") == records


def test_spreadsheets_are_forgiven(tmp_path):
    (tmp_path / "m.csv").write_text("\ufeffid,visible,infrared,group,mood\na,v.png,i.png,,merry\n", encoding="utf-8")
    assert read_manifest(tmp_path / "m.csv") == [Record("a", "a", "v.png", "i.png")]
    (tmp_path / "empty.csv").write_text("id,visible,infrared\n")
    assert read_manifest(tmp_path / "empty.csv") == []


@pytest.mark.parametrize(
    "text, complaint",
    [("id,visible\na,b\n", "no column infrared"), ("id,visible,infrared\na,b,c\na,d,e\n", "an id twice")],
)
def test_what_is_wrong_is_said(tmp_path, text, complaint):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_manifest(tmp_path / "m.csv")
    with pytest.raises(UserError, match="no manifest"):
        read_manifest(tmp_path / "none.csv")
