"""`v2ir data split` from the outside: what it publishes, what it reports, one clear line for bad input."""

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from split_rows import TEST, authors_list, pictured, rows

from v2ir_lib.cli import main
from v2ir_lib.files import repo_root
from v2ir_lib.records import Record, read_manifest, write_manifest

HALVES = ("--fractions", "0.5,0.25,0.25")


@pytest.fixture
def split(capsys):
    """Run the command; returns exit code, stdout and the lines of stderr."""

    def run(*args):
        code = main(["data", "split", *map(str, args)])
        out, err = capsys.readouterr()
        lines = [line for line in err.replace("\r", "\n").split("\n") if line.strip() and "it/s" not in line]
        return code, out, [line for line in lines if line.startswith("error")]

    return run


def links_file(path: Path, pairs: list[tuple[str, str]]) -> Path:
    a, b = zip(*pairs, strict=True) if pairs else ((), ())
    columns = {"id_a": a, "id_b": b, "kind": ["near"] * len(a), "distance": [3.0] * len(a)}
    table = {
        name: pyarrow.array(column, pyarrow.string() if name != "distance" else None)
        for name, column in columns.items()
    }
    pyarrow.parquet.write_table(pyarrow.table(table), path)
    return path


def published(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_published_file(split, tmp_path):
    manifest, out = pictured(tmp_path, groups=8, each=3), tmp_path / "made" / "split.csv"
    code, text, _ = split(manifest, "--out", out, *HALVES, "--seed", 5, "--json")
    assert code == 0
    found = published(out)
    assert list(found[0]) == ["id", "group", "split", "visible_sha256", "infrared_sha256"]
    for row, record in zip(found, read_manifest(manifest), strict=True):
        assert (row["id"], row["group"]) == (record.id, record.group)
        for kind in ("visible", "infrared"):
            content = (tmp_path / getattr(record, kind)).read_bytes()
            assert row[f"{kind}_sha256"] == hashlib.sha256(content).hexdigest()
    summary = json.loads(text)
    assert summary["rows"] == {"train": 12, "val": 6, "test": 6, "excluded": 0} and summary["groups"]["train"] == 4
    before = out.read_bytes()
    split(manifest, "--out", out, *HALVES, "--seed", 5)
    assert out.read_bytes() == before
    split(manifest, "--out", out, *HALVES, "--seed", 6)
    assert out.read_bytes() != before


def test_check_of_what_was_published_and_of_what_leaks(split, tmp_path):
    manifest, out = pictured(tmp_path, groups=8, each=3), tmp_path / "split.csv"
    split(manifest, "--out", out, *HALVES)
    assert split(manifest, "--check", "--split", out)[0] == 0
    rows = published(out)
    moved = next(row for row in rows if row["split"] == "train")
    moved["split"] = "test"
    with open(out, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    code, text, _ = split(manifest, "--check", "--split", out, "--json")
    report = json.loads(text)
    assert code == 1 and report["leaks"] and report["total"]["test"]["shared"] == {"group": 1}
    assert report["datasets"]["kaist"]["test"]["names"] == [moved["id"]]
    code, text, _ = split(manifest, "--check", "--split", out)
    assert code == 1 and f"kaist test: 1 of 7 leak; 1 share a group with training ({moved['id']})" in text


def test_links_join_and_are_checked(split, tmp_path):
    manifest, out = pictured(tmp_path, groups=8, each=3), tmp_path / "split.csv"
    split(manifest, "--out", out, *HALVES)
    groups = {part: next(r["id"] for r in published(out) if r["split"] == part) for part in ("train", "test")}
    links = links_file(tmp_path / "links.parquet", [(groups["train"], groups["test"]), ("elsewhere", groups["test"])])
    code, text, _ = split(manifest, "--check", "--split", out, "--links", links, "--json")
    assert code == 1 and json.loads(text)["total"]["test"]["shared"] == {"link": 1}
    code, text, _ = split(manifest, "--out", out, *HALVES, "--links", links, "--json")
    assert code == 0 and (json.loads(text)["links"], json.loads(text)["links_elsewhere"]) == (1, 1)
    assert split(manifest, "--check", "--split", out, "--links", links)[0] == 0
    assert len({row["split"] for row in published(out) if row["id"] in groups.values()}) == 1


def test_the_manifests_own_split(split, tmp_path):
    records = [replace(r, split="test" if r.frame == 1 and r.group == "kaist/2" else "train") for r in rows(3, 2)]
    write_manifest(tmp_path / "m.parquet", records)
    code, text, _ = split(tmp_path / "m.parquet", "--check")
    assert code == 1 and "all test: 1 of 1 leak" in text


def test_exclusion(split, tmp_path):
    """Phase 2 never sees a test set of phase 3: a whole dataset, its family, and names in a file with their sets."""
    records = rows(6, 2) + rows(4, 2, "m3fd") + rows(4, 2, "flir-v1")
    for record in records:
        for name in (record.visible, record.infrared):
            (tmp_path / record.dataset).mkdir(exist_ok=True)
            (tmp_path / record.dataset / name).write_text(f"{record.dataset}/{name}")
    records = [replace(r, visible=f"{r.dataset}/{r.visible}", infrared=f"{r.dataset}/{r.infrared}") for r in records]
    write_manifest(tmp_path / "m.csv", records)
    (tmp_path / "names.txt").write_text("# test names\nkaist/2-1\nkaist/4-0.png\nnot-here\n")
    chosen = ("--exclude", "M³FD", "--exclude", "FLIR", "--exclude", tmp_path / "names.txt")
    code, text, _ = split(tmp_path / "m.csv", "--out", tmp_path / "s.csv", *HALVES, *chosen, "--json")
    summary = json.loads(text)
    assert code == 0 and summary["excluded_unmatched"] == ["not-here"] and summary["rows"]["excluded"] == 20
    outside = {row["group"] for row in published(tmp_path / "s.csv") if row["split"] == "excluded"}
    assert outside == {"kaist/2", "kaist/4"} | {f"{name}/{g}" for name in ("m3fd", "flir-v1") for g in range(4)}
    (tmp_path / "names.txt").write_text("1-0.png\n")
    code, _, err = split(tmp_path / "m.csv", "--out", tmp_path / "t.csv", "--exclude", tmp_path / "names.txt")
    assert code == 2 and "DATASET/1-0.png" in err[0] and not (tmp_path / "t.csv").exists()


def test_the_authors_list(split, tmp_path):
    counts = dict(KAIST=1150, VTUAV=738, LLVIP=402, DroneVehicle=672, FLIR=257, MSRS=41, AVIID=42)
    (tmp_path / "seeds.json").write_text(json.dumps([[name] for name in authors_list(counts)]))
    code, text, _ = split("--check", "--names", tmp_path / "seeds.json")
    assert code == 1 and f"of {TEST:,} leak; 1,888 carry a sequence id" in text
    assert len(text.splitlines()) == 16, "two lines for all, and two for each of the seven sources"


def damage(folder: Path, kind: str) -> list:
    manifest, out = pictured(folder), folder / "split.csv"
    records, arguments = read_manifest(manifest), [manifest, "--out", folder / "new.csv"]
    if kind == "no manifest":
        manifest.unlink()
    elif kind == "no column":
        manifest.write_text("id,visible\na,b\n")
    elif kind == "id twice":
        write_manifest(manifest, [*records, records[0]])
    elif kind == "moved away":
        write_manifest(manifest, [*records, Record("far", "far", "/no/such/a.png", "/no/such/b.png")])
    elif kind == "no picture":
        write_manifest(manifest, [*records, Record("nothing", "n", "", "")])
    elif kind == "sum":
        arguments += ["--fractions", "0.9,0.2,0.1"]
    elif kind == "too few":
        write_manifest(manifest, records[:8])
    elif kind == "exclude":
        arguments += ["--exclude", "M3DF"]
    elif kind == "no links":
        arguments += ["--links", folder / "none.parquet"]
    elif kind == "links are text":
        (folder / "links.parquet").write_text("hello")
        arguments += ["--links", folder / "links.parquet"]
    elif kind == "links of another":
        arguments += ["--links", links_file(folder / "links.parquet", [("x", "y")])]
    elif kind == "no out":
        arguments = [manifest]
    elif kind == "nothing to check":
        arguments = ["--check"]
    elif kind == "no split":
        arguments = [manifest, "--check"]
    elif kind == "no split file":
        arguments = [manifest, "--check", "--split", folder / "none.csv"]
    else:
        main(["data", "split", str(manifest), "--out", str(out)])
        lines = out.read_text().splitlines()
        if kind == "split lacks a row":
            lines.pop()
        elif kind == "split of other files":
            lines[1] = lines[1][:-4] + "0000"
            records = [
                replace(r, infrared_sha256=row["infrared_sha256"])
                for r, row in zip(records, published(out), strict=True)
            ]
            write_manifest(manifest, records)
        elif kind == "split says more":
            lines[1] = (
                lines[1].replace(",train,", ",practice,").replace(",val,", ",practice,").replace(",test,", ",practice,")
            )
        elif kind == "split twice":
            lines.append(lines[-1])
        out.write_text("\n".join(lines) + "\n")
        arguments = [manifest, "--check", "--split", out]
    return arguments


BAD = {
    "no manifest": "no manifest",
    "no column": "no column infrared",
    "id twice": "an id twice",
    "moved away": "2 pictures of the manifest are not there, such as /no/such/a.png",
    "no picture": "nothing has neither",
    "sum": "sum of 1.2",
    "too few": "too few groups",
    "exclude": "M3DF",
    "no links": "no table of links",
    "links are text": "links.parquet",
    "links of another": "none of the 1 links",
    "no out": "--out",
    "nothing to check": "--names",
    "no split": "--split",
    "no split file": "no split file",
    "split lacks a row": "1 rows are not in it",
    "split of other files": "kaist/0-0 has another infrared file",
    "split says more": "practice",
    "split twice": "twice",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input(split, tmp_path, capsys, kind):
    arguments = damage(tmp_path, kind)
    capsys.readouterr()
    before = sorted(tmp_path.iterdir())
    code, out, err = split(*arguments)
    assert code == 2 and out == "" and len(err) == 1 and BAD[kind] in err[0] and "Traceback" not in err[0]
    assert sorted(tmp_path.iterdir()) == before


def test_real_pairs(split, tmp_path):
    manifest = repo_root().parent / "shared" / "real_pairs" / "manifest.csv"
    if not manifest.exists():
        pytest.skip("the real pairs are not on this machine")
    out = tmp_path / "split.csv"
    code, text, _ = split(manifest, "--out", out, "--fractions", "0.7,0.1,0.2", "--json")
    summary = json.loads(text)
    assert code == 0 and sum(summary["rows"].values()) == 310 and len(summary["datasets"]) == 3
    assert split(manifest, "--check", "--split", out)[0] == 0
    assert split(manifest, "--check")[0] == 0, "the published split is by scene"
