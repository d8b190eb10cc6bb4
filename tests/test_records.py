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


def test_parquet_keeps_types(tmp_path):
    records = [Record("a", "g", "v/a.png", "i/a.tiff", frame=7, bit_depth=14, grey_low=7312.5, grey_high=9000.0)]
    write_manifest(tmp_path / "m.parquet", records)
    assert read_manifest(tmp_path / "m.parquet") == records
    write_manifest(tmp_path / "m.csv", records)
    assert (tmp_path / "m.csv").read_text().startswith("id,group,visible,infrared,frame,bit_depth,grey_low,grey_high\n")
    assert read_manifest(tmp_path / "m.csv") == records


def test_a_broken_parquet_and_a_word_in_place_of_a_number(tmp_path):
    (tmp_path / "m.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        read_manifest(tmp_path / "m.parquet")
    (tmp_path / "m.csv").write_text("id,visible,infrared,frame\na,b,c,first\n")
    with pytest.raises(UserError, match="frame is 'first', not a number"):
        read_manifest(tmp_path / "m.csv")


def test_dataset_and_id_stand_for_paths(tmp_path):
    for kind, name in (("visible", "x.jpg"), ("infrared", "x.png")):
        (tmp_path / "road" / kind).mkdir(parents=True)
        (tmp_path / "road" / kind / name).touch()
    (tmp_path / "m.csv").write_text("dataset,id,scene,split\nroad,x,s1,test\n")
    [record] = read_manifest(tmp_path / "m.csv")
    assert record == Record(
        "road/x", "road/s1", "road/visible/x.jpg", "road/infrared/x.png", split="test", dataset="road"
    )
    (tmp_path / "m.csv").write_text("dataset,id\nroad,y\n")
    with pytest.raises(UserError, match=r"names y, but .* has no such picture"):
        read_manifest(tmp_path / "m.csv")


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
