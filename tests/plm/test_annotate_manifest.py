"""`v2ir annotate`: what it writes, what it does not do twice, how many processes make no difference, what stops it."""

import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from annotation_rows import IDS
from PIL import Image

from v2ir_lib.plm import annotate_manifest as annotating
from v2ir_lib.plm import annotator as one_picture
from v2ir_lib.plm.annotator import Annotator, read_note, segments_path
from v2ir_lib.records import Record, read_manifest, write_manifest
from v2ir_lib.vlum.captioner import describe
from v2ir_lib.vlum.segmenter import automatic_masks
from v2ir_lib.vlum.segments import render


@pytest.fixture
def looks(monkeypatch) -> list:
    """Every picture that the models are shown."""
    found, true_look = [], Annotator.look
    monkeypatch.setattr(Annotator, "look", lambda self, picture: found.append(picture) or true_look(self, picture))
    return found


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_is_written(annotate, manifest, tmp_path, pipeline, photograph):
    out = tmp_path / "deep" / "out"
    code, said, err = annotate(manifest, out, "--json")
    assert code == 0 and err == []
    names = {f"segments/{id}.png" for id in IDS}
    assert set(tree(out)) == names | {"captions.parquet", "manifest.csv", "report.json"}
    small = np.asarray(Image.fromarray(photograph[4:36, 4:60]).resize((48, 27), Image.Resampling.BICUBIC))
    [words] = describe(pipeline.captioner, pipeline.captioner_processor, [small], max_tokens=6, beams=1)
    with Image.open(segments_path(out, "a")) as image:
        assert np.array_equal(np.asarray(image), render(automatic_masks(pipeline.segmenter, small)))
    table = pyarrow.parquet.read_table(out / "captions.parquet")
    assert table.column_names == ["id", "caption"] and table["id"].to_pylist() == list(IDS)
    assert table["caption"][0].as_py() == words != ""
    rows = read_manifest(out / "manifest.csv")
    assert [row.id for row in rows] == [*IDS, "alone"]
    assert [row.caption for row in rows] == [*table["caption"].to_pylist(), "kept as it is"]
    for before, after in zip(read_manifest(manifest), rows, strict=True):
        assert (out / after.infrared).resolve() == (manifest.parent / before.infrared).resolve()
        assert (after.group, after.crop, after.band) == (before.group, before.crop, before.band)
    assert (out / rows[1].visible).is_file() and rows[3].visible == ""
    report = json.loads(said)
    assert report == json.loads((out / "report.json").read_text()) and report["without_visible"] == 1
    assert (report["annotated"], report["kept"], report["skipped"]) == (3, 0, {})


def test_absolute_paths_and_parquet(annotate, manifest, tmp_path):
    rows = [replace(row, visible=str(manifest.parent / row.visible)) for row in read_manifest(manifest)[:3]]
    write_manifest(tmp_path / "m.parquet", rows)
    assert annotate(tmp_path / "m.parquet", tmp_path / "out")[0] == 0
    found = read_manifest(tmp_path / "out/manifest.parquet")
    assert [row.visible for row in found] == [row.visible for row in rows]
    table = pyarrow.parquet.read_table(tmp_path / "out/captions.parquet")
    assert [row.caption for row in found] == table["caption"].to_pylist() and any(row.caption for row in found)


def test_a_second_run_does_nothing_again_and_changes_nothing(annotate, manifest, tmp_path, looks):
    annotate(manifest, tmp_path / "out")
    first = tree(tmp_path / "out")
    assert len(looks) == 3
    code, said, _ = annotate(manifest, tmp_path / "out")
    assert code == 0 and len(looks) == 3 and said.startswith("0 rows annotated, 3 were there")
    second = tree(tmp_path / "out")
    assert {name for name in first if first[name] != second[name]} == {"report.json"}


def test_a_picture_that_rows_share_is_read_once(annotate, manifest, tmp_path, looks):
    """One visible picture, a row for each infrared camera; another crop of it is another picture."""
    cameras = [Record(f"a-{camera}", "g", "visible/a.png", f"{camera}.png") for camera in ("nir", "lwir")]
    write_manifest(manifest, [*cameras, Record("a-part", "g", "visible/a.png", "", crop="0,0,30,30")])
    annotate(manifest, tmp_path / "out")
    assert len(looks) == 2
    nir, lwir, part = (segments_path(tmp_path / "out", f"a-{name}").read_bytes() for name in ("nir", "lwir", "part"))
    assert nir == lwir != part
    write_manifest(manifest, [*cameras, Record("a-swir", "g", "visible/a.png", "swir.png")])
    _, said, _ = annotate(manifest, tmp_path / "out")
    assert len(looks) == 2 and said.startswith("1 rows annotated, 2 were there")
    assert segments_path(tmp_path / "out", "a-swir").read_bytes() == nir
    captions = pyarrow.parquet.read_table(tmp_path / "out/captions.parquet")["caption"].to_pylist()
    assert len(captions) == 3 and len(set(captions)) == 1


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(annotate, manifest, tmp_path, looks, monkeypatch):
    annotate(manifest, tmp_path / "whole")
    looks.clear()
    true_look = Annotator.look

    def dies(self, picture):
        if len(looks) == 1:
            raise KeyboardInterrupt
        return true_look(self, picture)

    with monkeypatch.context() as patched:
        patched.setattr(Annotator, "look", dies)
        assert annotate(manifest, tmp_path / "out")[0] == 130
    assert list(tree(tmp_path / "out")) == ["segments/a.png"]
    annotate(manifest, tmp_path / "out")
    assert len(looks) == 3
    whole, again = tree(tmp_path / "whole"), tree(tmp_path / "out")
    assert {name for name in whole if whole[name] != again[name]} == {"report.json"}


CHANGES = {
    "picture": 1,
    "crop": 1,
    "damaged": 1,
    "rendering": 3,
    "captioner": 3,
    "segmenter": 3,
    "code": 3,
    "tokens": 3,
    "nothing": 0,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_an_annotation_makes_it_again(
    annotate, manifest, tmp_path, models, photograph, monkeypatch, change
):
    """The models are only pretended: what is asked is whether they are."""
    models = shutil.copytree(models, tmp_path / "models")
    looked = []
    answer = ("words", 2, np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(Annotator, "look", lambda self, picture: looked.append(picture) or answer)
    annotate(manifest, tmp_path / "out", models=models)
    assert len(looked) == 3
    looked.clear()
    options = []
    if change == "picture":
        Image.fromarray(photograph[::-1]).save(manifest.parent / "visible/c.png")
    elif change == "crop":
        write_manifest(manifest, [replace(row, crop="") for row in read_manifest(manifest)])
    elif change == "damaged":
        path = segments_path(tmp_path / "out", "night/b")
        path.write_bytes(path.read_bytes()[:-30])
    elif change == "rendering":
        options = ["--rendering", "edges"]
    elif change in ("captioner", "segmenter"):
        config = models / change / "config.json"
        config.write_text(config.read_text() + " ")
    elif change == "code":
        monkeypatch.setattr(one_picture, "CODE", one_picture.CODE[:2])
    elif change == "tokens":
        from v2ir_lib import profiles

        monkeypatch.setitem(profiles.PROFILES, "tiny", replace(profiles.PROFILES["tiny"], caption_tokens=7))
    annotate(manifest, tmp_path / "out", *options, models=models)
    assert len(looked) == CHANGES[change]


def test_two_processes_write_the_same_bytes(annotate, manifest, tmp_path, monkeypatch):
    """Each is started as it is for whoever runs the command, with nothing but what it is sent."""
    monkeypatch.setattr(annotating, "CHUNK", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers do
    annotate(manifest, tmp_path / "one")
    torch.set_num_threads(threads)
    (manifest.parent / "visible/bad.png").write_text("no picture")
    rows = read_manifest(manifest)
    write_manifest(manifest, [Record("bad", "g", "visible/bad.png", ""), *rows])
    code, _, err = annotate(manifest, tmp_path / "two", "--workers", 2)
    assert code == 2 and len(err) == 1 and "bad" in err[0]
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert {name for name in one if one[name] != two[name]} == {"report.json"} and set(one) == set(two)


def test_empty_captions_and_maps_are_reported(annotate, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(one_picture, "describe", lambda *args, **_: [["", "words"][int(args[2][0][0, 0, 0] > 200)]])
    monkeypatch.setattr(one_picture, "automatic_masks", lambda _, picture: np.zeros((0, *picture.shape[:2]), bool))
    for run in range(2):  # the second reads what the first has noted
        code, said, _ = annotate(manifest, tmp_path / "out")
        report = json.loads((tmp_path / "out/report.json").read_text())
        assert code == 0 and report["kept"] == 3 * run
        assert report["empty_maps"] == list(IDS) and 0 < len(report["empty_captions"]) < 3
        assert "3 empty segment maps: a, night/b, c" in said and "empty captions: " in said
    with Image.open(segments_path(tmp_path / "out", "a")) as image:
        assert not np.asarray(image).any()


def test_sampled_captions_repeat(annotate, manifest, tmp_path):
    said = []
    for number, seed in enumerate((1, 1, 2)):
        annotate(manifest, tmp_path / str(number), "--nucleus", 0.9, "--seed", seed)
        said.append(pyarrow.parquet.read_table(tmp_path / str(number) / "captions.parquet")["caption"].to_pylist())
    assert said[0] == said[1] != said[2]


def test_a_note_survives_any_words(tmp_path):
    words = "été, 日本 \u201cquoted\u201d\n two lines " * 40
    notes = {"fingerprint": "k", "masks": "3", "caption": words}
    (tmp_path / "a.png").write_bytes(one_picture.encoded(np.zeros((4, 5, 3), np.uint8), notes))
    assert read_note(tmp_path / "a.png", "k") == (words, 3)
    assert read_note(tmp_path / "a.png", "other") is None and read_note(tmp_path / "none.png", "k") is None


def test_a_full_disk_is_one_line_and_leaves_whole_files(annotate, manifest, tmp_path, monkeypatch):
    true_replace = os.replace

    def full(source, target):
        if Path(target).name == "b.png":
            raise OSError(28, "No space left on device")
        return true_replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    code, _, err = annotate(manifest, tmp_path / "out")
    assert code == 2 and len(err) == 1 and "disk is full" in err[0]
    assert list(tree(tmp_path / "out")) == ["segments/a.png"]


def test_one_process_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert annotating.devices("cuda", None) == annotating.devices("auto", None) == ["cuda:0", "cuda:1", "cuda:2"]
    assert Counter(annotating.devices("cuda", 6)) == {"cuda:0": 2, "cuda:1": 2, "cuda:2": 2}
    assert annotating.devices("cuda:1", None) == ["cuda:1"] and annotating.devices("cpu", 5) == ["cpu"] * 5
