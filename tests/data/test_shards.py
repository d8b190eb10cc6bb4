"""Shards: the same bytes whoever writes them, whole or absent, continued after an interruption, checked."""

import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pyarrow
import pytest
import webdataset
from PIL import Image
from split_rows import pictured

from v2ir_lib.cli import main
from v2ir_lib.data import shards as sharding
from v2ir_lib.data.shard_index import read_index, verify_shards
from v2ir_lib.data.shards import write_shards
from v2ir_lib.errors import UserError
from v2ir_lib.files import sha256
from v2ir_lib.records import read_manifest, write_manifest


def write(*args, **options):
    return write_shards(*args, **{"workers": 1, "progress": False} | options)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def manifest(tmp_path) -> Path:
    """24 rows, six sequences of four; one row is infrared alone; a folder of captions by id, one of maps by name."""
    path = pictured(tmp_path)
    records = read_manifest(path)
    records[5] = replace(records[5], visible="")
    write_manifest(path, [replace(r, caption=f"number {i}") for i, r in enumerate(records)])
    for record in records:
        (tmp_path / "captions" / record.id).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "captions" / f"{record.id}.txt").write_text(f"words for {record.id}")
        (tmp_path / "maps").mkdir(exist_ok=True)
        (tmp_path / "maps" / f"{Path(record.visible or record.infrared).stem}.PNG").write_bytes(record.id.encode())
    return path


def test_every_row_by_offset_and_by_webdataset(manifest, tmp_path):
    columns = {"caption": tmp_path / "captions", "segments": tmp_path / "maps"}
    summary = write(manifest, tmp_path / "out", size=10, columns=columns)
    records, index = read_manifest(manifest), read_index(tmp_path / "out").to_pylist()
    assert (summary.rows, summary.written, summary.kept) == (24, 3, 0)
    assert [row["id"] for row in index] == [record.id for record in records]
    assert [row["number"] for row in index] == list(range(24))
    assert [row["shard"] for row in index] == ["all-000000"] * 10 + ["all-000001"] * 10 + ["all-000002"] * 4
    for row, record in zip(index, records, strict=True):
        content = (tmp_path / "out" / f"{row['shard']}.tar").read_bytes()
        part = {
            name: content[row[f"{name}_offset"] :][: row[f"{name}_size"]]
            for name in ("visible", "infrared", "record", "caption", "segments")
            if row[f"{name}_offset"] >= 0
        }
        assert ("visible" in part) == bool(record.visible)
        for kind in set(part) & {"visible", "infrared"}:
            assert part[kind] == (tmp_path / getattr(record, kind)).read_bytes()
        assert part["caption"] == f"words for {record.id}".encode() and part["segments"] == record.id.encode()
        facts = json.loads(part["record"])
        assert (facts["id"], facts["group"], facts["caption"]) == (record.id, record.group, record.caption)
        assert str(tmp_path) not in str(facts), "a shard does not say where its files were"
    urls = [str(tmp_path / "out" / f"all-00000{n}.tar") for n in range(3)]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    assert [json.loads(sample["json"])["id"] for sample in samples] == [record.id for record in records]
    assert Image.open(io.BytesIO(samples[0]["visible.png"])).size == (8, 6)
    assert samples[0]["caption.txt"] == b"words for kaist/0-0" and samples[0]["segments.png"] == b"kaist/0-0"


def test_bytes_do_not_depend_on_who_writes_them(manifest, tmp_path):
    write(manifest, tmp_path / "one", size=5)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in tmp_path.glob("*.png"):
        (moved / path.name).write_bytes(path.read_bytes())
        os.utime(moved / path.name, (1, 1))
    (moved / "manifest.csv").write_bytes(manifest.read_bytes())
    write(moved / "manifest.csv", tmp_path / "two", size=5, workers=2)
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert len(one) == 5 * 2 + 2 and one.keys() == two.keys()
    assert all(one[name] == two[name] for name in one if name.endswith((".tar", ".parquet", "shards.json")))
    with tarfile.open(tmp_path / "one" / "all-000000.tar") as archive:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in archive} == {(0, 0, 0, "", "", 0o644)}


def test_an_interrupted_run_continues(manifest, tmp_path, monkeypatch):
    write(manifest, tmp_path / "whole", size=5)
    true_write, calls = sharding._write, []

    def stop(plan, path):
        calls.append(plan.name)
        if len(calls) == 3:
            path.write_bytes(b"half a shard")
            raise KeyboardInterrupt
        true_write(plan, path)

    with monkeypatch.context() as patched:
        patched.setattr(sharding, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            write(manifest, tmp_path / "out", size=5)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "all-000000.json", "all-000000.tar", "all-000001.json", "all-000001.tar", "shards.json",
    ]  # fmt: skip
    with pytest.raises(UserError, match="run it again"):
        read_index(tmp_path / "out")
    summary = write(manifest, tmp_path / "out", size=5)
    assert (summary.kept, summary.written) == (2, 3)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_only_what_changed_is_written_again(manifest, tmp_path):
    out = tmp_path / "out"
    write(manifest, out, size=5)
    before = tree(out)
    assert write(manifest, out, size=5).kept == 5
    tar = out / "all-000001.tar"
    content = bytearray(tar.read_bytes())
    content[2000] ^= 1
    tar.write_bytes(content)
    (out / "all-000002.tar").unlink()
    (out / "all-000003.json").write_text("{")
    assert write(manifest, out, size=5).kept == 2 and tree(out) == before
    Image.new("L", (9, 9)).save(tmp_path / read_manifest(manifest)[0].infrared)
    assert write(manifest, out, size=5).kept == 4
    after = tree(out)
    assert {n for n in before if before[n] != after[n]} == {"all-000000.tar", "all-000000.json", "index.parquet"}


def test_split_gives_each_part_its_shards(manifest, tmp_path):
    main(["data", "split", str(manifest), "--out", str(tmp_path / "s.csv"), "--fractions", "0.5,0.25,0.25"])
    text = (tmp_path / "s.csv").read_text().replace(",val,", ",excluded,")
    (tmp_path / "s.csv").write_text(text)
    summary = write(manifest, tmp_path / "out", size=5, split=tmp_path / "s.csv")
    index = read_index(tmp_path / "out").to_pylist()
    assert summary.excluded == text.count("excluded") == 24 - len(index) > 0
    parts = dict(line.split(",")[0::2][:2] for line in text.splitlines()[1:])
    assert {row["id"]: row["split"] for row in index} == {i: p for i, p in parts.items() if p != "excluded"}
    assert all(row["shard"].startswith(row["split"] + "-") for row in index)
    assert [row["number"] for row in index] == list(range(len(index)))


def test_verify(manifest, tmp_path):
    out = tmp_path / "out"
    write(manifest, out, size=10)
    size = sum(path.stat().st_size for path in out.glob("*.tar"))
    assert verify_shards(out, progress=False) == {"shards": 3, "rows": 24, "bytes": size}
    index = out / "index.parquet"
    whole = index.read_bytes()
    table = read_index(out)
    ids = table["id"].to_pylist()
    other = table.set_column(1, "id", pyarrow.array(ids)).set_column(
        table.schema.get_field_index("infrared_offset"), "infrared_offset", pyarrow.array([0] * 24)
    )
    pyarrow.parquet.write_table(other, index)
    with pytest.raises(UserError, match=r"all-000000\.tar does not fit the index"):
        verify_shards(out, progress=False)
    index.write_bytes(whole)
    tar = out / "all-000001.tar"
    content = tar.read_bytes()
    tar.write_bytes(content[:600] + bytes([content[600] ^ 1]) + content[601:])
    with pytest.raises(UserError, match=r"all-000001\.tar is damaged"):
        verify_shards(out, progress=False)
    tar.unlink()
    with pytest.raises(UserError, match=r"all-000001\.tar is missing"):
        verify_shards(out, progress=False)


def test_files_that_changed_since_the_import(manifest, tmp_path):
    records = read_manifest(manifest)
    records[7] = replace(records[7], infrared_sha256=sha256(tmp_path / records[7].infrared))
    write_manifest(manifest, records)
    write(manifest, tmp_path / "before", size=24)
    (tmp_path / records[7].infrared).write_bytes(b"another picture")
    for workers in (1, 2):
        with pytest.raises(UserError, match=rf"{records[7].infrared} has changed since the import"):
            write(manifest, tmp_path / f"out{workers}", size=5, workers=workers)
        assert not (tmp_path / f"out{workers}" / "index.parquet").exists()


def prepare(manifest: Path, kind: str) -> list:
    folder, arguments = manifest.parent, [manifest, "--out", manifest.parent / "out"]
    if kind == "no column":
        manifest.write_text("id,infrared\na,b\n")
    elif kind == "id twice":
        write_manifest(manifest, [*read_manifest(manifest)] * 2)
    elif kind == "moved away":
        (folder / "3-2i.png").unlink()
    elif kind == "empty":
        write_manifest(manifest, [])
    elif kind == "size":
        arguments += ["--size", "0"]
    elif kind == "split of another":
        (folder / "s.csv").write_text("id,split\nx,train\n")
        arguments += ["--split", folder / "s.csv"]
    elif kind == "other folder":
        (folder / "out").mkdir()
        (folder / "out" / "mine.txt").write_text("keep")
    elif kind == "other shards":
        write(manifest, folder / "out", size=7)
    elif kind == "other manifest":
        write(manifest, folder / "out", size=10)
        write_manifest(manifest, read_manifest(manifest)[:10])
        arguments += ["--size", "10"]
    elif kind == "a file":
        (folder / "out").write_text("x")
    elif kind == "no folder":
        arguments += ["--column", f"segments={folder / 'none'}"]
    elif kind == "no equals":
        arguments += ["--column", "segments"]
    elif kind == "taken":
        arguments += ["--column", f"visible={folder / 'maps'}"]
    elif kind == "row without a file":
        (folder / "captions/kaist/2-1.txt").unlink()
        arguments += ["--column", f"caption={folder / 'captions'}"]
    elif kind == "two files of a name":
        (folder / "maps" / "0-0.npy").write_text("x")
        arguments += ["--column", f"segments={folder / 'maps'}"]
    elif kind == "nothing to do":
        arguments = ["--out", folder / "out"]
    elif kind == "nothing to verify":
        arguments = ["--out", folder / "out", "--verify"]
    return arguments


BAD = {
    "no column": "no column visible",
    "id twice": "an id twice",
    "moved away": "3-2i.png",
    "empty": "no rows",
    "size": "--size",
    "split of another": "does not fit",
    "other folder": "not empty",
    "other shards": "holds other shards",
    "other manifest": "shards of another manifest, such as all-000001.tar",
    "a file": "is a file",
    "no folder": "no folder at",
    "no equals": "NAME=FOLDER",
    "taken": "visible",
    "row without a file": "1 rows have no file",
    "two files of a name": "0-0.PNG and",
    "nothing to do": "MANIFEST",
    "nothing to verify": "no index",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input(manifest, tmp_path, capsys, kind):
    arguments = prepare(manifest, kind)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code = main(["data", "shard", *map(str, arguments)])
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.strip()]
    assert code == 2 and out == "" and len(lines) == 1 and BAD[kind] in lines[0]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_command(manifest, tmp_path, capsys):
    arguments = ["data", "shard", str(manifest), "--out", str(tmp_path / "out"), "--size", "9", "--workers", "1"]
    columns = ["--column", f"caption={tmp_path / 'captions'}", "--column", f"segments={tmp_path / 'maps'}"]
    assert main([*arguments, *columns, "--verify", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["written"], report["verified"]) == (24, 3, True)
    assert main(["data", "shard", "--out", str(tmp_path / "out"), "--verify"]) == 0
    assert "24 rows in 3 shards" in capsys.readouterr().out
