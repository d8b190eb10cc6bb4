"""`v2ir data audit` from the outside: tables, page, manifest of good rows, one screen, one clear line for bad input."""

import errno
import json
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from v2ir_lib.cli import main
from v2ir_lib.data.audit import audit_records, run
from v2ir_lib.records import Record, read_manifest, write_manifest


@pytest.fixture
def audit(capsys):
    """Run the command in this process; returns exit code, stdout and the lines of stderr."""

    def call(manifest, out, *args):
        code = main(["data", "audit", str(manifest), "--out", str(out), "--workers", "1", *map(str, args)])
        out, err = capsys.readouterr()
        return code, out, [line for line in err.split("\n") if line.startswith("error")]

    return call


@pytest.fixture
def spoiled(clean):
    """Six pairs: b is cut short, e repeats a, c is in false colours, in sub-groups of two splits."""
    root = clean.parent
    content = (root / "visible/b.png").read_bytes()
    (root / "visible/b.png").write_bytes(content[: len(content) // 2])
    for kind in ("visible", "infrared"):
        shutil.copy(root / kind / "a.png", root / kind / "e.png")
    grey = np.asarray(Image.open(root / "infrared/c.png"))
    Image.fromarray(np.stack([grey, grey // 2, 255 - grey], axis=-1)).save(root / "infrared/c.png")
    splits = dict(zip("abcdef", ("test", "train", "train", "train", "train", "val"), strict=True))
    write_manifest(clean, [replace(record, split=splits[record.id]) for record in read_manifest(clean)])
    return clean


def table(path) -> dict[str, dict]:
    return {row["id"]: row for row in pyarrow.parquet.read_table(path).to_pylist()}


def test_clean_pairs_are_ok(audit, clean, tmp_path):
    code, out, errors = audit(clean, tmp_path / "audit.parquet")
    assert code == 0 and not errors and "6 rows: 6 ok, 0 with a note, 0 bad" in out
    rows = table(tmp_path / "audit.parquet")
    assert list(rows) == list("abcdef") and {row["reasons"] for row in rows.values()} == {""}
    for row in rows.values():
        assert abs(row["offset_x"]) < 1 and abs(row["offset_y"]) < 1 and row["polarity"] is None
        assert row["visible_width"] == 128 and row["infrared_height"] == 96
        assert re.fullmatch("[0-9a-f]{16}", row["infrared_phash"]) and len(row["visible_sha256"]) == 64


def test_faults_are_set_aside_and_nothing_is_deleted(audit, spoiled, tmp_path):
    before = {path: path.read_bytes() for path in spoiled.parent.rglob("*.png")}
    good = tmp_path / "elsewhere" / "good.csv"
    code, out, _ = audit(spoiled, tmp_path / "audit.parquet", "--good", good)
    assert code == 0 and "3 bad and set aside" in out and "1 links across splits" in out
    rows = table(tmp_path / "audit.parquet")
    assert {name: row["codes"] for name, row in rows.items()} == {
        "a": "kept",
        "b": "truncated",
        "c": "colour_mapped",
        "d": "",
        "e": "leak",
        "f": "",
    }
    assert rows["a"]["verdict"] == "note" and rows["b"]["verdict"] == rows["e"]["verdict"] == "bad"
    assert rows["b"]["reasons"] == "truncated: visible, the file is cut short" and rows["b"]["visible_width"] is None
    kept = read_manifest(good)
    assert [record.id for record in kept] == ["a", "d", "f"]
    assert all((good.parent / record.visible).is_file() for record in kept), "paths follow the manifest"
    assert {path: path.read_bytes() for path in spoiled.parent.rglob("*.png")} == before
    links = pyarrow.parquet.read_table(tmp_path / "audit_links.parquet").to_pylist()
    assert links == [dict(id_a="a", id_b="e", kind="exact", distance=0, correlation=1.0, across="split")]


def test_the_split_takes_the_links(audit, spoiled, tmp_path, capsys):
    audit(spoiled, tmp_path / "audit.parquet")
    arguments = ["data", "split", str(spoiled), "--check", "--links", str(tmp_path / "audit_links.parquet")]
    assert main(arguments) == 1
    capsys.readouterr()


def test_json(audit, spoiled, tmp_path):
    _, out, _ = audit(spoiled, tmp_path / "audit.parquet", "--json")
    summary = json.loads(out)
    assert (summary["rows"], summary["ok"], summary["note"], summary["bad"]) == (6, 2, 1, 3)
    assert summary["codes"] == {"truncated": 1, "colour_mapped": 1, "leak": 1, "kept": 1}
    assert summary["links"] == {"exact": 1} and summary["links_across_splits"] == 1


def test_the_report_needs_no_other_file(audit, spoiled, tmp_path):
    strange = "<b>&'\"ü é"
    records = [replace(record, id=strange) if record.id == "b" else record for record in read_manifest(spoiled)]
    write_manifest(spoiled, records)
    assert audit(spoiled, tmp_path / "audit.parquet", "--report", tmp_path / "audit.html")[0] == 0
    page = (tmp_path / "audit.html").read_text(encoding="utf-8")
    sources = re.findall(r'src="([^"]*)"', page)
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert len(sources) == 1 + 2 + 4 + 4, "what is left of b; c; e and what it repeats; a and its copy"
    assert "<b>&" not in page and "&lt;b&gt;&amp;" in page and "cut short" in page
    assert "http" not in page and "<script" not in page and len(page) < 100_000


def test_workers_change_nothing(spoiled, monkeypatch):
    monkeypatch.setattr(run, "FEW", 3)
    records = read_manifest(spoiled)
    one, two = (audit_records(records, spoiled.parent, workers=n, progress=False) for n in (1, 2))
    assert one.rows == two.rows and one.links == two.links
    assert [finding.text for finding in one.findings] == [finding.text for finding in two.findings]


def test_infrared_alone(audit, clean, tmp_path):
    write_manifest(clean, [replace(record, visible="") for record in read_manifest(clean)])
    code, out, _ = audit(clean, tmp_path / "audit.parquet")
    assert code == 0 and "6 ok" in out and "could not be measured" in out
    assert table(tmp_path / "audit.parquet")["a"]["visible_sha256"] is None


def test_files_that_are_gone_and_rows_without_a_file(audit, clean, tmp_path):
    (clean.parent / "infrared/a.png").unlink()
    records = [replace(record, infrared="") if record.id == "b" else record for record in read_manifest(clean)]
    write_manifest(clean, records)
    assert audit(clean, tmp_path / "audit.parquet")[0] == 0
    rows = table(tmp_path / "audit.parquet")
    assert rows["a"]["codes"] == rows["b"]["codes"] == "missing" and rows["c"]["verdict"] == "ok"


BAD_CALLS = {
    "no manifest": (["none.csv"], {}, "no manifest"),
    "no Parquet": ([], {"--out": "audit.txt"}, ".parquet"),
    "report is no page": ([], {"--report": "x.pdf"}, ".html"),
    "over the manifest": ([], {"--good": "manifest.csv"}, "overwrite"),
    "two of one name": ([], {"--good": "audit.parquet"}, "overwrite"),
    "over the links": ([], {"--good": "audit_links.parquet"}, "overwrite"),
    "a folder": ([], {"--out": "taken.parquet"}, "folder"),
    "below a file": ([], {"--out": "manifest.csv/audit.parquet"}, "cannot write"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls(case, clean, tmp_path, capsys, monkeypatch):
    """Told before the first picture is read, and nothing is written."""
    monkeypatch.setattr(run, "_measure_all", lambda *_: pytest.fail("measured first"))
    (tmp_path / "taken.parquet").mkdir()
    positional, options, word = BAD_CALLS[case]
    before = sorted(tmp_path.rglob("*"))
    options = {"--out": "audit.parquet", **options}
    arguments = [text for option, name in options.items() for text in (option, str(tmp_path / name))]
    code = main(["data", "audit", str(tmp_path / (positional or ["manifest.csv"])[0]), *arguments])
    err = capsys.readouterr().err.strip().split("\n")
    assert code == 2 and len(err) == 1 and word in err[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_manifest(audit, tmp_path):
    write_manifest(tmp_path / "manifest.csv", [])
    code, _, errors = audit(tmp_path / "manifest.csv", tmp_path / "audit.parquet")
    assert code == 2 and len(errors) == 1 and "no rows" in errors[0]


def test_a_full_disk_leaves_nothing_half_written(audit, clean, tmp_path, monkeypatch):
    def full(table, path):
        path.write_bytes(b"PAR1")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pyarrow.parquet, "write_table", full)
    before = sorted(os.listdir(tmp_path))
    code, _, errors = audit(clean, tmp_path / "audit.parquet")
    assert code == 2 and "disk is full" in errors[0] and sorted(os.listdir(tmp_path)) == before


def test_odd_names(audit, tmp_path, pair):
    folder = tmp_path / "my pairs ü"
    folder.mkdir()
    for name, picture in zip(("Vis 1.PNG", "Ir 1.PNG"), pair(3), strict=True):
        Image.fromarray(picture).save(folder / name)
    write_manifest(folder / "manifest.parquet", [Record("a b", "g", "Vis 1.PNG", "Ir 1.PNG")])
    assert audit(folder / "manifest.parquet", folder / "audit.parquet")[0] == 0
    assert table(folder / "audit.parquet")["a b"]["verdict"] == "ok"
