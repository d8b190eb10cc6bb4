"""`v2ir data merge` from the outside: every row still finds its files, ids are unique, one clear line for bad input."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from v2ir_lib.cli import main
from v2ir_lib.data.audit import audit_records
from v2ir_lib.data.splitting import group_key, lonely_rows
from v2ir_lib.files import repo_root, sha256
from v2ir_lib.records import Record, read_manifest, write_manifest


@pytest.fixture
def merge(capsys):
    """Run the command; returns exit code, stdout and the lines of stderr without the progress bar."""

    def run(*args):
        code = main(["data", "merge", *map(str, args)])
        out, err = capsys.readouterr()
        lines = [line for line in err.replace("\r", "\n").split("\n") if line.strip() and "merging:" not in line]
        return code, out, lines

    return run


def made(folder: Path, ids: list[str], dataset: str, name: str = "m.csv", **columns) -> Path:
    """A manifest of pairs whose files hold their own place; hashes as an import writes them."""
    records = []
    for id in ids:
        paths = {}
        for kind in ("visible", "infrared"):
            path = folder / kind / f"{id.replace('/', '_')}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{folder.name} {kind} {id}")
            paths[kind] = path.relative_to(folder).as_posix()
            paths[f"{kind}_sha256"] = sha256(path)
        records.append(Record(id=id, group=f"{dataset}/{id[-1]}", dataset=dataset, **paths, **columns))
    write_manifest(folder / name, records)
    return folder / name


def content(manifest: Path) -> list[str]:
    return [(manifest.parent / record.visible).read_text() for record in read_manifest(manifest)]


@pytest.mark.parametrize("out", ["all.parquet", "a/all.csv", "deep/er/all.parquet"])
def test_rows_keep_pointing_at_their_files(merge, tmp_path, out):
    a, b = made(tmp_path / "a", ["a/1", "a/2"], "a"), made(tmp_path / "b", ["b/1"], "b", "m.parquet")
    code, said, err = merge(a, b, "--out", tmp_path / out)
    assert code == 0 and err == []
    assert content(tmp_path / out) == ["a visible a/1", "a visible a/2", "b visible b/1"]
    merged = read_manifest(tmp_path / out)
    assert not any(os.path.isabs(record.visible) for record in merged), "a tree with its manifests can be moved"
    before = [*read_manifest(a), *read_manifest(b)]
    for new, old in zip(merged, before, strict=True):
        assert replace(new, visible="", infrared="") == replace(old, visible="", infrared="")
    assert "3 rows of 2 manifests" in said and "a: 2 pairs, 0 infrared alone, in 2 groups" in said


def test_paths_behind_a_link_to_a_folder(merge, tmp_path):
    """`..` from a linked folder leads to the real one's parent, so the paths must be written from there."""
    a, b = made(tmp_path / "a", ["a/1"], "a"), made(tmp_path / "b", ["b/1"], "b")
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    assert merge(a, b, "--out", tmp_path / "link" / "all.csv")[0] == 0
    assert content(tmp_path / "link" / "all.csv") == ["a visible a/1", "b visible b/1"]


def test_absolute_paths_and_all_kinds_of_files(merge, tmp_path):
    a, b = made(tmp_path / "a", ["a/1"], "a"), made(tmp_path / "b", ["b/1"], "b")
    [record] = read_manifest(a)
    far = tmp_path / "far.png"
    far.write_text("far")
    write_manifest(a, [replace(record, visible=str(far), classes="classes/1.png", temperature="t.png", grey_low=7.0)])
    assert merge(a, b, "--out", tmp_path / "all.parquet")[0] == 0
    first = read_manifest(tmp_path / "all.parquet")[0]
    assert (first.visible, first.infrared, first.grey_low) == (str(far), "a/infrared/a_1.png", 7.0)
    assert (first.classes, first.temperature, first.instances) == ("a/classes/1.png", "a/t.png", "")


def test_equal_ids_get_their_datasets_name(merge, tmp_path):
    a, b = made(tmp_path / "a", ["1", "2"], "a"), made(tmp_path / "b", ["2", "3"], "b")
    c = made(tmp_path / "c", ["4"], "c")
    code, said, _ = merge(a, b, c, "--out", tmp_path / "all.csv", "--json")
    assert code == 0 and json.loads(said)["renamed"] == {"a": 2, "b": 2}
    ids = [record.id for record in read_manifest(tmp_path / "all.csv")]
    assert ids == ["a/1", "a/2", "b/2", "b/3", "4"], "all rows of a dataset are called in one way; others stay"


def test_a_row_without_a_known_group_still_has_none(merge, tmp_path):
    """The group of such a row is its id; renamed apart, it would look like a sequence, and not be joined by looks."""
    for name in "ab":
        manifest = made(tmp_path / name, ["1", "2"], name)
        write_manifest(manifest, [replace(record, group=record.id) for record in read_manifest(manifest)])
    assert merge(tmp_path / "a/m.csv", tmp_path / "b/m.csv", "--out", tmp_path / "all.csv")[0] == 0
    records = read_manifest(tmp_path / "all.csv")
    assert [record.group for record in records] == ["a/1", "a/2", "b/1", "b/2"] == [record.id for record in records]
    assert lonely_rows(records) == [0, 1, 2, 3]


def test_rows_without_a_dataset_are_called_after_their_manifest(merge, tmp_path):
    """Two rendered worlds both have a scene 00000: it must not become one group."""
    a, b = made(tmp_path / "day", ["1"], "", "manifest.csv"), made(tmp_path / "x", ["1"], "", "night.csv")
    code, said, _ = merge(a, b, "--out", tmp_path / "all.csv")
    records = read_manifest(tmp_path / "all.csv")
    assert code == 0 and [record.dataset for record in records] == ["day", "night"]
    assert [record.id for record in records] == ["day/1", "night/1"]
    assert len({group_key(record) for record in records}) == 2
    assert f"rows of {a} had no dataset: called day" in said
    twin = made(tmp_path / "z" / "day", ["9"], "", "manifest.csv")
    code, _, err = merge(a, twin, "--out", tmp_path / "no.csv")
    assert code == 2 and "both be the dataset day" in err[0] and not (tmp_path / "no.csv").exists()


def test_the_same_dataset_twice_under_other_names_is_noticed(merge, tmp_path):
    """As when the authors' IR-500K holds pictures of KAIST, and KAIST itself is imported too."""
    a = made(tmp_path / "a", ["kaist/1", "kaist/2"], "kaist")
    renamed = [replace(record, id=f"ir-500k/{record.id}") for record in read_manifest(a)]
    write_manifest(tmp_path / "a" / "again.csv", renamed[:1])
    code, said, _ = merge(a, tmp_path / "a" / "again.csv", "--out", tmp_path / "all.csv", "--json")
    found = json.loads(said)
    assert code == 0 and found["rows"] == 3 and found["shared_files"] == 1
    assert found["datasets"] == {"kaist": {"pairs": 3, "infrared_only": 0, "groups": 2}}
    assert any("kaist is in" in note and "1 groups in both" in note for note in found["notes"])
    assert any("1 rows have a picture that an earlier manifest has too" in note for note in found["notes"])


def test_a_duplicate_across_datasets_is_found_only_in_the_merged_manifest(merge, tmp_path):
    scenes = read_manifest(repo_root() / "data_samples" / "manifest.csv")[:10:5]
    folder, manifests = repo_root() / "data_samples", []
    for name in ("msrs", "mfnet"):
        rows = [
            Record(f"{name}/{row.id}", f"{name}/{row.group}", str(folder / row.visible), str(folder / row.infrared))
            for row in scenes
        ]
        rows = [replace(row, dataset=name) for row in rows]
        (tmp_path / name).mkdir()
        write_manifest(tmp_path / name / "m.csv", rows)
        manifests.append(tmp_path / name / "m.csv")
        assert not audit_records(rows, tmp_path / name, workers=1, progress=False).links
    assert merge(*manifests, "--out", tmp_path / "all.csv")[0] == 0
    links = audit_records(read_manifest(tmp_path / "all.csv"), tmp_path, workers=1, progress=False).links
    assert sum(link.across == "dataset" and link.kind == "exact" for link in links) == 2


BAD = {
    "one": "two manifests or more",
    "suffix": "neither .parquet nor .csv",
    "folder": "is a folder",
    "in a file": "a part of the path is a file",
    "over": "overwrite",
    "same path": "given twice",
    "same ids": "share 4 ids (a/1, a/2, a/3 …)",
    "no rows": "has no rows",
    "no manifest": "no manifest",
    "moved away": "1 pictures of the manifest are not there",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input(merge, tmp_path, kind):
    a, b = made(tmp_path / "a", ["a/1", "a/2", "a/3", "a/4"], "a"), made(tmp_path / "b", ["b/1"], "b")
    given, out = [a, b], tmp_path / "all.csv"
    if kind == "one":
        given = [a]
    elif kind == "suffix":
        out = tmp_path / "all.txt"
    elif kind == "folder":
        out = tmp_path / "all.csv"
        out.mkdir()
    elif kind == "in a file":
        out = b / "all.csv"
    elif kind == "over":
        out = b
    elif kind == "same path":
        given = [a, tmp_path / "a" / "." / "m.csv"]
    elif kind == "same ids":
        given = [a, made(tmp_path / "again", ["a/1", "a/2", "a/3", "a/4"], "a")]
    elif kind == "no rows":
        b.write_text("id,visible,infrared\n")
    elif kind == "no manifest":
        b.unlink()
    elif kind == "moved away":
        (tmp_path / "b" / "infrared" / "b_1.png").unlink()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, said, err = merge(*given, "--out", out)
    assert code == 2 and said == "" and len(err) == 1 and BAD[kind] in err[0] and "Traceback" not in err[0], err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
