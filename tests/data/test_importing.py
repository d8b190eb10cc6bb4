"""`v2ir data import` from the outside: the manifest, the list of what did not pair, one clear line for bad input."""

import errno
import json
import os
import zipfile
from pathlib import Path

import miniatures
import numpy as np
import pytest

from v2ir_lib.cli import main
from v2ir_lib.data import importing, layout, measuring
from v2ir_lib.data.importing import import_dataset
from v2ir_lib.files import sha256
from v2ir_lib.records import read_manifest


@pytest.fixture
def run(capsys):
    """Run the command; returns exit code, stdout and the lines of stderr without the progress bar."""

    def call(*args):
        code = main(["data", "import", *map(str, args)])
        out, err = capsys.readouterr()
        lines = [line for line in err.replace("\r", "\n").split("\n") if line.strip() and "reading:" not in line]
        return code, out, lines

    return call


def refused(result, *words: str) -> None:
    code, out, err = result
    assert code == 2 and out == "" and len(err) == 1, err
    assert all(word in err[0] for word in words), err[0]


def test_a_manifest_and_a_summary_a_person_can_read(run, pairs, tmp_path):
    miniatures.picture(pairs / "visible" / "alone.png")
    code, out, err = run("paired", pairs, "--out", tmp_path / "m.parquet", "--band", "lwir")
    assert code == 0 and err == []
    first = read_manifest(tmp_path / "m.parquet")[0]
    assert (first.id, first.visible, first.infrared) == ("set/0", "set/visible/0.png", "set/infrared/0.png")
    assert (first.width, first.height, first.infrared_width, first.infrared_height) == (40, 30, 32, 24)
    assert first.visible_sha256 == sha256(pairs / "visible/0.png") and first.band == "lwir"
    assert "3 pairs" in out and "40×30 → 32×24 3" in out and "set/visible/alone.png: no infrared picture" in out
    listing = (tmp_path / "m.parquet.unpaired.csv").read_text()
    assert listing == "side,path,reason\nvisible,set/visible/alone.png,no infrared picture\n"


def test_json(run, pairs, tmp_path):
    code, out, _ = run("paired", pairs, "--out", tmp_path / "m.csv", "--json")
    summary = json.loads(out)
    assert code == 0 and (summary["pairs"], summary["groups"], summary["unpaired"]) == (3, 3, {})
    assert not (tmp_path / "m.csv.unpaired.csv").exists() and summary["unpaired_file"] == ""


def test_the_list_of_an_older_import_goes(run, pairs, tmp_path):
    extra = miniatures.picture(pairs / "visible" / "alone.png")
    run("paired", pairs, "--out", tmp_path / "m.csv")
    assert (tmp_path / "m.csv.unpaired.csv").exists()
    extra.unlink()
    run("paired", pairs, "--out", tmp_path / "m.csv")
    assert not (tmp_path / "m.csv.unpaired.csv").exists()


def test_paths_are_relative_below_the_manifest_and_absolute_elsewhere(pairs, tmp_path):
    import_dataset("paired", pairs, tmp_path / "elsewhere" / "m.csv")
    record = read_manifest(tmp_path / "elsewhere" / "m.csv")[0]
    assert record.visible == str(pairs / "visible/0.png")
    (tmp_path / "set of others").mkdir()  # begins like the images' folder
    import_dataset("paired", pairs, tmp_path / "set of others" / "m.csv")
    assert read_manifest(tmp_path / "set of others" / "m.csv")[0].infrared == str(pairs / "infrared/0.png")


def test_without_hashes(pairs, tmp_path):
    import_dataset("paired", pairs, tmp_path / "m.csv", hashes=False)
    record = read_manifest(tmp_path / "m.csv")[0]
    assert record.infrared_sha256 == record.visible_sha256 == "" and record.width == 40


def test_processes_give_the_same_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "CHUNK", 2)
    for n in range(5):
        miniatures.deep(tmp_path / "set/flight" / f"{n}.tif", miniatures.ramp(1000 * n, 1000 * n + 500))
    miniatures.deep(tmp_path / "set/single.tif", miniatures.ramp(0, 9))
    (tmp_path / "set/flight/9.tif").write_text("no picture")
    manifests = []
    for workers in (1, 2):
        import_dataset("infrared", tmp_path / "set", tmp_path / "m.csv", grey="sequence", workers=workers)
        manifests.append((tmp_path / "m.csv").read_bytes() + (tmp_path / "m.csv.unpaired.csv").read_bytes())
    assert manifests[0] == manifests[1] and manifests[0].count(b"\n") == 9


@pytest.mark.parametrize("chunk", [1, 128])
def test_range_by_sequence_or_by_image(tmp_path, monkeypatch, chunk):
    """Two frames of 1,024 equal pixels each: together, half of the values are 1,000 and half 3,000."""
    monkeypatch.setattr(measuring, "CHUNK", chunk)
    for n, value in enumerate((1000, 3000)):
        miniatures.deep(tmp_path / "set/flight" / f"{n}.png", np.full((32, 32), value))
    ranges = {}
    for grey in ("image", "sequence"):
        import_dataset("infrared", tmp_path / "set", tmp_path / "m.csv", grey=grey)
        ranges[grey] = [(r.grey_low, r.grey_high, r.bit_depth) for r in read_manifest(tmp_path / "m.csv")]
    assert ranges["image"] == [(1000, 1000, 14), (3000, 3000, 14)]
    assert ranges["sequence"] == [(1000, 3000, 14)] * 2


def test_a_missing_or_empty_root(run, tmp_path):
    refused(run("kaist", tmp_path / "none", "--out", tmp_path / "m.csv"), "no such folder")
    (tmp_path / "empty").mkdir()
    refused(run("kaist", tmp_path / "empty", "--out", tmp_path / "m.csv"), "is empty", "setXX/VYYY")
    (tmp_path / "text").write_text("x")
    refused(run("kaist", tmp_path / "text", "--out", tmp_path / "m.csv"), "is a file")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    refused(run("kaist", tmp_path / "link", "--out", tmp_path / "m.csv"), "broken link")
    assert not list(tmp_path.glob("*.csv"))


@pytest.mark.parametrize(
    "kind, make, name", [one for one in miniatures.ALL if one[0] != "llvip"], ids=lambda v: getattr(v, "__name__", "")
)
def test_another_datasets_root_is_told_by_name(run, tmp_path, kind, make, name):
    root = make(tmp_path / name)
    refused(run("llvip", root, "--out", tmp_path / "m.csv"), "does not look like LLVIP", f"v2ir data import {kind} ")
    assert not (tmp_path / "m.csv").exists()


def test_paired_pictures_are_not_taken_for_infrared_ones(run, pairs, tmp_path):
    refused(run("infrared", pairs, "--out", tmp_path / "m.csv"), "holds visible pictures too", "import paired")
    miniatures.msrs(tmp_path / "MSRS")
    refused(run("infrared", tmp_path / "MSRS", "--out", tmp_path / "m.csv"), "looks like MSRS")


def test_the_folder_above_the_root(run, tmp_path):
    miniatures.llvip(tmp_path / "downloads" / "LLVIP")
    refused(run("llvip", tmp_path / "downloads", "--out", tmp_path / "m.csv"), "sub-folder LLVIP does")


def test_a_folder_like_no_dataset(run, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.txt").write_text("x")
    refused(run("msrs", tmp_path / "docs", "--out", tmp_path / "m.csv"), "nor like any other")
    with zipfile.ZipFile(tmp_path / "docs/MSRS.zip", "w") as archive:
        archive.writestr("a.png", "x")
    refused(run("msrs", tmp_path / "docs", "--out", tmp_path / "m.csv"), "holds MSRS.zip: unpack that first")


BAD_OPTIONS = {
    "unknown kind": (["coco"], "kaist"),
    "suffix": (["paired", "--out", "m.xlsx"], "neither .parquet nor .csv"),
    "range": (["paired", "--range", "video"], "image, sequence"),
    "band": (["paired", "--band", "green"], "nir, swir"),
    "stride": (["kaist", "--stride", "0"], "1 or more"),
    "stride of no video": (["paired", "--stride", "2"], "it is for kaist, vtuav, lsotb-tir"),
    "raw of 8 bits": (["kaist", "--raw"], "it is for flir-v2, flir-v1"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options(run, pairs, tmp_path, case):
    (kind, *options), word = BAD_OPTIONS[case]
    refused(run(kind, pairs, "--out", tmp_path / "m.csv", *options), word)
    assert not (tmp_path / "m.csv").exists() and not Path("m.xlsx").exists()


def deny(monkeypatch, denied: Path) -> None:
    """No permission for one folder: as administrator it has to be simulated."""
    truly = os.scandir

    def scandir(path="."):
        if Path(path) == denied:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return truly(path)

    monkeypatch.setattr(layout.os, "scandir", scandir)


def test_a_folder_that_may_not_be_read_ends_the_import(run, pairs, tmp_path, monkeypatch):
    """A folder without a word about it would be pictures dropped in silence."""
    for denied in (pairs, pairs / "infrared"):
        with monkeypatch.context() as patched:
            deny(patched, denied)
            refused(run("paired", pairs, "--out", tmp_path / "m.csv"), str(denied), "permission denied")
    assert not (tmp_path / "m.csv").exists()


def test_files_that_cannot_be_read_are_listed_and_the_rest_goes_on(run, pairs, tmp_path, monkeypatch):
    (pairs / "infrared/0.png").unlink()
    (pairs / "infrared/0.png").symlink_to(tmp_path / "nowhere.png")
    (pairs / "visible/1.png").write_text("no picture")
    miniatures.picture(pairs / "infrared/3.png", mode="L")
    (pairs / "visible/3.png").touch()
    os.mkfifo(pairs / "visible/4.png")  # opening it would wait for ever
    miniatures.picture(pairs / "infrared/4.png", mode="L")
    code, out, _ = run("paired", pairs, "--out", tmp_path / "m.csv", "--json")
    assert code == 0 and json.loads(out)["pairs"] == 1
    assert [record.id for record in read_manifest(tmp_path / "m.csv")] == ["set/2"]
    lines = (tmp_path / "m.csv.unpaired.csv").read_text().split("\n")[1:-1]
    assert sorted(lines) == [
        "infrared,set/infrared/0.png,a broken link",
        "infrared,set/infrared/1.png,its visible picture: not a picture",
        "infrared,set/infrared/3.png,its visible picture: an empty file",
        "infrared,set/infrared/4.png,its visible picture: not an ordinary file",
        "visible,set/visible/0.png,its infrared picture: a broken link",
        "visible,set/visible/1.png,not a picture",
        "visible,set/visible/3.png,an empty file",
        "visible,set/visible/4.png,not an ordinary file",
    ]


def test_nothing_readable_is_an_error(run, pairs, tmp_path):
    for path in (pairs / "infrared").iterdir():
        path.write_text("no picture")
    refused(run("paired", pairs, "--out", tmp_path / "m.csv"), "none of 3 rows can be read", "not a picture")
    assert not list(tmp_path.glob("*.csv"))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_full_disk_leaves_the_older_manifest(run, pairs, tmp_path, monkeypatch, suffix):
    out = tmp_path / f"m{suffix}"
    run("paired", pairs, "--out", out)
    before = out.read_bytes()
    miniatures.picture(pairs / "visible" / "alone.png")
    truly = os.replace

    def full(source, target):
        if Path(target) == out:
            raise OSError(errno.ENOSPC, "No space left on device")
        return truly(source, target)

    monkeypatch.setattr(os, "replace", full)
    refused(run("paired", pairs, "--out", out), "disk is full")
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, "set"], "nothing half-written"


def test_an_output_that_may_not_be_written_is_told_before_reading(run, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(importing.os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr(importing, "measure_rows", lambda *_, **__: pytest.fail("read first"))
    refused(run("paired", pairs, "--out", tmp_path / "new" / "m.csv"), "may write to")
    assert not (tmp_path / "new").exists()


def test_bad_lists_of_names(run, tmp_path):
    root = miniatures.ir_500k(tmp_path / "IR")
    for text in ("{", '{"a": 1}', "[[3]]", "[[]]", "7"):
        (root / "seeds.json").write_text(text)
        refused(run("ir-500k", root, "--out", tmp_path / "m.csv"), "seeds.json is not a JSON list")
    root = miniatures.flir_v2(tmp_path / "v2")
    (root / "rgb_to_thermal_vid_map.json").write_text("[1]")
    refused(run("flir-v2", root, "--out", tmp_path / "m.csv"), "rgb_to_thermal_vid_map.json is not")
    (root / "rgb_to_thermal_vid_map.json").unlink()
    refused(run("flir-v2", root, "--out", tmp_path / "m.csv"), "no rgb_to_thermal_vid_map.json")
    (tmp_path / "two/rgb").mkdir(parents=True)
    (tmp_path / "two/visible").mkdir()
    refused(run("paired", tmp_path / "two", "--out", tmp_path / "m.csv"), "which one is meant")
    assert not (tmp_path / "m.csv").exists()
