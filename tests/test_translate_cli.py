"""`v2ir translate` from the outside: what it writes, what it repeats, and one clear line for every bad input."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from v2ir_lib.cli import main
from v2ir_lib.diffusion import translate as translating
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.diffusion.translate import image_seed


@pytest.fixture
def translate(pipeline, pipeline_folder, capsys, monkeypatch):
    """Run the command; returns exit code, stdout and the lines of stderr without the progress bar."""

    truly = DiffV2IRPipeline.from_pretrained

    def load(folder, **options):  # the sound model is loaded once for all tests, any other truly
        return pipeline if Path(folder) == pipeline_folder else truly(folder, **options)

    monkeypatch.setattr(DiffV2IRPipeline, "from_pretrained", load)

    def run(*args, model=pipeline_folder):
        code = main(["translate", *map(str, args), "--model", str(model), "--device", "cpu"])
        out, err = capsys.readouterr()
        return (
            code,
            out,
            [line for line in err.replace("\r", "\n").split("\n") if line.strip() and "translating:" not in line],
        )

    return run


@pytest.fixture
def album(tmp_path, photograph) -> Path:
    """Three pictures, one of them in a sub-folder."""
    folder = tmp_path / "in"
    (folder / "night").mkdir(parents=True)
    Image.fromarray(photograph).save(folder / "a.png")
    Image.fromarray(photograph[::-1]).save(folder / "b.jpg")
    Image.fromarray(photograph[:, :40]).convert("L").save(folder / "night" / "c.png")
    (folder / "notes.txt").write_text("not a picture, and not called one")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_folder(translate, album, tmp_path):
    code, out, err = translate(album, tmp_path / "new" / "out", "--json")
    assert code == 0 and err == []
    assert sorted(tree(tmp_path / "new" / "out")) == [
        "a.json", "a.png", "b.json", "b.png", "night/c.json", "night/c.png",
    ]  # fmt: skip
    for name, size in (("a", (64, 40)), ("b", (64, 40)), ("night/c", (40, 40))):
        with Image.open(tmp_path / "new" / "out" / f"{name}.png") as image:
            assert image.mode == "L" and image.size == size
    note = json.loads((tmp_path / "new/out/night/c.json").read_text())
    assert note["source"] == "night/c.png" and note["seed"] == 0 and note["image_seed"] == image_seed(0, "night/c.png")
    assert note["prompt"] == f"turn the visible image of {note['caption']} into infrared"
    assert (note["steps"], note["s_text"], note["size"]) == (3, 1.5, [40, 40]) and len(note["model_sha256"]) == 64
    summary = json.loads(out)
    assert len(summary["translated"]) == 3 and summary["seconds_per_image"] > 0 and summary["peak_memory_bytes"] > 1e7


def test_same_seed_same_bytes_other_seed_others(translate, album, tmp_path, pipeline_folder):
    model = shutil.copytree(pipeline_folder, tmp_path / "model")
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        assert translate(album, tmp_path / name, "--seed", seed, model=model)[0] == 0
    one, two, three = (tree(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert all(one[name] != three[name] for name in one)


def test_a_picture_does_not_depend_on_the_others(translate, album, tmp_path):
    """Alone or in the folder, the seed is the same, and at batch size 1 so are the bytes."""
    translate(album, tmp_path / "all", "--batch-size", 1)
    (album / "a.png").unlink()
    translate(album, tmp_path / "fewer", "--batch-size", 1)
    assert tree(tmp_path / "all").items() > tree(tmp_path / "fewer").items()
    translate(album / "b.jpg", tmp_path / "alone", "--batch-size", 1)
    assert (tmp_path / "alone/b.png").read_bytes() == (tmp_path / "all/b.png").read_bytes()


def test_a_note_makes_its_picture_again(translate, album, tmp_path, pipeline, photograph):
    options = ("--steps", 4, "--s-text", 2, "--s-visible", 1.25, "--s-segments", 0.5, "--seed", 3)
    translate(album / "a.png", tmp_path / "out.png", *options)
    note = json.loads((tmp_path / "out.json").read_text())
    settings = {name: note[name] for name in ("steps", "s_text", "s_visible", "s_segments")}
    assert settings == dict(steps=4, s_text=2, s_visible=1.25, s_segments=0.5)
    again = pipeline(photograph, prompt=note["prompt"], seed=note["image_seed"], **settings)
    assert np.array_equal(np.asarray(again.images[0]), np.asarray(Image.open(tmp_path / "out.png")))


def test_existing_outputs_are_kept_unless_told(translate, album, tmp_path):
    translate(album, tmp_path / "out")
    (tmp_path / "out/a.png").write_bytes(b"mine")
    (tmp_path / "out/b.png").unlink()
    code, out, _ = translate(album, tmp_path / "out", "--json")
    summary = json.loads(out)
    assert code == 0 and len(summary["kept"]) == 2 and len(summary["translated"]) == 1
    assert (tmp_path / "out/a.png").read_bytes() == b"mine" and (tmp_path / "out/b.png").exists()
    translate(album, tmp_path / "out", "--overwrite")
    assert (tmp_path / "out/a.png").read_bytes() != b"mine"


def test_unreadable_pictures_are_named_and_skipped(translate, album, tmp_path):
    (album / "bad.png").write_text("text")
    content = (album / "b.jpg").read_bytes()
    (album / "cut.jpg").write_bytes(content[: len(content) // 2])
    code, out, err = translate(album, tmp_path / "out", "--json")
    assert code == 2
    assert len(err) == 2 and "bad.png" in err[0] and "cut.jpg" in err[1]
    assert sorted(Path(name).name for name in json.loads(out)["skipped"]) == ["bad.png", "cut.jpg"]
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.png")) == ["a.png", "b.png", "c.png"]


def test_a_long_prompt_is_warned_of_and_cut(translate, album, tmp_path):
    code, _, err = translate(album / "a.png", tmp_path / "out", "--prompt", "warm " * 60)
    assert code == 0 and len(err) == 1 and "cut to the 94" in err[0]
    assert len(json.loads((tmp_path / "out/a.json").read_text())["prompt"]) < 130


def test_what_lies_in_the_output_is_never_read(translate, album):
    translate(album, album / "out")
    code, out, _ = translate(album, album / "out", "--json")
    assert code == 0 and json.loads(out)["translated"] == [] and len(json.loads(out)["kept"]) == 3


def test_inputs_are_never_overwritten(translate, album, tmp_path):
    before = tree(album)
    for source, target in ((album, album), (album / "a.png", album / "a.png"), (album / "a.png", album)):
        code, _, err = translate(source, target, "--overwrite")
        assert code == 2 and len(err) == 1 and "choose another" in err[0]
    assert tree(album) == before


def test_one_picture(translate, album, tmp_path):
    assert translate(album / "a.png", tmp_path / "made" / "x.png")[0] == 0
    assert translate(album / "b.jpg", tmp_path / "folder")[0] == 0
    assert translate(album / "b.jpg", tmp_path / "y.jpg")[0] == 0
    assert sorted(tree(tmp_path / "made")) == ["x.json", "x.png"]
    assert sorted(tree(tmp_path / "folder")) == ["b.json", "b.png"]
    with Image.open(tmp_path / "y.jpg") as image:
        assert image.format == "JPEG" and image.mode == "L"


def write_bad(album: Path, kind: str) -> Path:
    path = album / kind
    if kind == "nan.tif":
        pixels = np.ones((20, 20), np.float32)
        pixels[2, 3] = np.nan
        Image.fromarray(pixels).save(path)
    elif kind == "cut.jpg":
        path.write_bytes((album / "b.jpg").read_bytes()[:400])
    elif kind == "text.png":
        path.write_text("hello")
    elif kind != "missing.png":
        Image.new("RGB", {"dot.png": (1, 1), "line.png": (20000, 10)}[kind]).save(path)
    return path


@pytest.mark.parametrize("kind", ["missing.png", "text.png", "cut.jpg", "dot.png", "line.png", "nan.tif"])
def test_one_bad_picture(translate, album, tmp_path, kind):
    code, _, err = translate(write_bad(album, kind), tmp_path / "out")
    assert code == 2 and len(err) == 1 and kind in err[0] and "Traceback" not in err[0]
    assert not (tmp_path / "out").exists()


BAD_SETTINGS = {
    "steps": (["--steps", "-3"], "steps"),
    "one step": (["--steps", "1"], "steps"),
    "steps in words": (["--steps", "many"], "steps"),
    "scale in words": (["--s-text", "strong"], "s-text"),
    "scale NaN": (["--s-visible", "nan"], "s-visible"),
    "scale infinite": (["--s-segments", "inf"], "s-segments"),
    "batch": (["--batch-size", "0"], "batch"),
    "device of another world": (["--device", "quantum"], "quantum"),
}


@pytest.mark.parametrize("kind", BAD_SETTINGS)
def test_bad_settings(album, tmp_path, pipeline_folder, capsys, kind):
    options, word = BAD_SETTINGS[kind]
    code = main(["translate", str(album), str(tmp_path / "out"), "--model", str(pipeline_folder), *options])
    err = capsys.readouterr().err.strip().split("\n")
    assert code == 2 and len(err) == 1 and word in err[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_no_cuda_here(album, tmp_path, pipeline_folder, capsys):
    code = main(["translate", str(album), str(tmp_path / "out"), "--model", str(pipeline_folder), "--device", "cuda"])
    err = capsys.readouterr().err.strip().split("\n")
    assert code == 2 and len(err) == 1 and "no such CUDA GPU" in err[0] and "--device cpu" in err[0]
    assert not (tmp_path / "out").exists()


def test_empty_folder(translate, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = translate(tmp_path / "empty", tmp_path / "out")
    assert code == 2 and len(err) == 1 and "no pictures" in err[0] and not (tmp_path / "out").exists()


def test_broken_model(translate, album, tmp_path, pipeline_folder):
    broken = shutil.copytree(pipeline_folder, tmp_path / "broken")
    weights = broken / "vae/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    for model, word in ((broken, str(weights)), (tmp_path / "none", "model folder missing")):
        code, _, err = translate(album, tmp_path / "out", model=model)
        assert code == 2 and len(err) == 1 and word in err[0] and not (tmp_path / "out").exists()


def test_output_below_a_file(translate, album, tmp_path):
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file", tmp_path / "file" / "out"):
        code, _, err = translate(album, target)
        assert code == 2 and len(err) == 1 and "file" in err[0]


def test_unwritable_output(translate, album, tmp_path, monkeypatch):
    """Asked before minutes of work: here the administrator may write anywhere, so the question itself is answered."""
    monkeypatch.setattr(translating.os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr(DiffV2IRPipeline, "from_pretrained", lambda *_, **__: pytest.fail("loaded first"))
    code, _, err = translate(album, tmp_path / "out")
    assert code == 2 and len(err) == 1 and "permission" in err[0] and not (tmp_path / "out").exists()


@pytest.mark.parametrize("at", ["write", "rename"])
def test_full_disk(translate, album, tmp_path, monkeypatch, at):
    """The first picture fits, the second does not: what is there is whole, and nothing else is there."""
    true_write, true_replace = Path.write_bytes, os.replace

    def full(path):
        if ".png" in str(path) and (tmp_path / "out/a.png").exists():
            raise OSError(errno.ENOSPC, "No space left on device")

    def write(path, data):
        if at == "write":
            true_write(path, data[: len(data) // 2])
            full(path)
        return true_write(path, data)

    def replace(source, target):
        if at == "rename":
            full(target)
        return true_replace(source, target)

    monkeypatch.setattr(Path, "write_bytes", write)
    monkeypatch.setattr(os, "replace", replace)
    code, _, err = translate(album, tmp_path / "out")
    assert code == 2 and len(err) == 1 and "disk is full" in err[0]
    assert sorted(tree(tmp_path / "out")) == ["a.json", "a.png"]
    Image.open(tmp_path / "out/a.png").load()


def test_a_full_disk_leaves_the_older_translation_as_it_was(translate, album, tmp_path, monkeypatch):
    """With --overwrite: picture and sidecar are of one run, whatever happens."""
    translate(album / "a.png", tmp_path / "out", "--seed", 1)
    older = tree(tmp_path / "out")
    true_write = Path.write_bytes

    def full(path, data):
        true_write(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        code, _, err = translate(album / "a.png", tmp_path / "out", "--seed", 2, "--overwrite")
    assert code == 2 and "disk is full" in err[0]
    assert tree(tmp_path / "out") == older
    assert translate(album / "a.png", tmp_path / "out", "--seed", 2, "--overwrite")[0] == 0
    assert all(tree(tmp_path / "out")[name] != older[name] for name in ("a.json", "a.png"))
