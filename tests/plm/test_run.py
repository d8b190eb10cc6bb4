"""`v2ir train` from the outside, on a random model: phase 1, 2, 3 in turn, from packs and from manifests."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from random_runs import model_folders, small_profile, train  # noqa: F401, fixtures

from v2ir_lib.cli import main
from v2ir_lib.errors import UserError
from v2ir_lib.plm import sources
from v2ir_lib.plm.sources import manifest_scenes
from v2ir_lib.records import Record, read_manifest, write_manifest
from v2ir_lib.weights import folder_hash


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """Four pairs for training, of two sizes, an infrared picture alone, and a pair for testing: CSV and Parquet."""
    folder = tmp_path_factory.mktemp("pairs")
    rng, records = np.random.default_rng(0), []
    for number in range(6):
        size = (40, 64) if number % 2 else (48, 48)
        for kind, shape in (("v", (*size, 3)), ("i", size)):
            Image.fromarray(rng.integers(0, 255, shape).astype(np.uint8)).save(folder / f"{kind}{number}.png")
        visible = "" if number == 4 else f"v{number}.png"
        split = {3: "", 5: "test"}.get(number, "train")
        records.append(Record(f"{number}", f"scene{number}", visible, f"i{number}.png", split=split))
    write_manifest(folder / "pairs.csv", records)
    write_manifest(folder / "pairs.parquet", records)
    return folder / "pairs.csv"


def test_three_phases_in_turn_end_in_a_model_that_translates(tmp_path, capsys, models, photograph):
    before = folder_hash(models / "unet")
    code, first, _ = train(capsys, "phase1", tmp_path / "1")
    assert code == 0 and first["steps"] == 2 and first["scenes"] == 5 and folder_hash(models / "unet") == before
    assert (tmp_path / "1/lora/pytorch_lora_weights.safetensors").is_file()
    code, second, _ = train(capsys, "phase2", tmp_path / "2", "--model", tmp_path / "1", "--accumulation", 2)
    assert code == 0 and second["trained_parameters"] > 10 * first["trained_parameters"]
    assert not (tmp_path / "2/model_index.json").exists()
    code, third, _ = train(
        capsys, "phase3", tmp_path / "3", "--model", tmp_path / "2", "--log", tmp_path / "log", "--every", 2,
        "--gradient-checkpointing", "--dropout-scheme", "paper",
    )  # fmt: skip
    assert code == 0 and third["loss"] > 0 and third["images_per_second"] > 0
    assert len(list((tmp_path / "log/samples").glob("*.jpg"))) == 1
    assert sorted(path.name for path in (tmp_path / "3").iterdir()) == [
        "captioner", "captioner_processor", "model_index.json", "scheduler", "segmenter", "text_encoder", "tokenizer",
        "train.json", "unet", "vae",
    ]  # fmt: skip
    Image.fromarray(photograph).save(tmp_path / "photograph.png")
    arguments = ["translate", tmp_path / "photograph.png", tmp_path / "out.png", "--model", tmp_path / "3"]
    assert main([*map(str, arguments), "--device", "cpu"]) == 0
    assert Image.open(tmp_path / "out.png").size == (64, 40)


def test_a_manifest_of_pictures_of_several_sizes(tmp_path, capsys, manifest, monkeypatch):
    options = ("--model", "random", "--manifest", manifest, "--pipeline")
    code, record, _ = train(capsys, "phase2", tmp_path / "csv", *options)
    assert code == 0 and record["scenes"] == 4, "three rows of split train, and one without"
    assert (tmp_path / "csv/model_index.json").is_file()
    reads, parquet = [], manifest.with_suffix(".parquet")
    with monkeypatch.context() as patch:
        patch.setattr(sources.reading, "read_visible", lambda *a: reads.append(a))
        code, again, _ = train(capsys, "phase2", tmp_path / "parquet", "--model", "random", "--manifest", parquet)
    assert code == 0 and not reads, "all of it was in the cache"
    assert again["loss"] == record["loss"]
    code, alone, _ = train(capsys, "phase1", tmp_path / "ir", "--manifest", manifest)
    assert code == 0 and alone["scenes"] == 5, "phase 1 needs no visible picture"
    code, test, _ = train(capsys, "phase3", tmp_path / "t", "--model", tmp_path / "csv", "--manifest", manifest,
                          "--split", "val")  # fmt: skip
    assert code == 0 and test["scenes"] == 1


def test_pairs_of_a_manifest_belong_together(manifest):
    scenes = manifest_scenes(manifest)
    assert [record.id for record in scenes.records] == ["0", "1", "2", "3"]
    for number, (visible, size) in enumerate(zip(scenes.visible[0:2], [(48, 48, 3), (40, 64, 3)], strict=True)):
        assert np.array_equal(visible, np.asarray(Image.open(manifest.parent / f"v{number}.png")))
        assert visible.shape == size
        assert np.array_equal(scenes.infrared(number), np.asarray(Image.open(manifest.parent / f"i{number}.png")))
    assert scenes.visible.content(slice(0, 1)) != scenes.visible.content(slice(1, 2))


def test_one_dataset_of_a_manifest(manifest):
    two = manifest.parent / "two.csv"
    rows = [replace(row, dataset="b" if number % 2 else "a") for number, row in enumerate(read_manifest(manifest))]
    write_manifest(two, rows)
    chosen = manifest_scenes(two, dataset="b")
    assert [record.id for record in chosen.records] == ["1", "3"]
    assert chosen.fingerprint() != manifest_scenes(manifest).fingerprint()
    assert chosen.name != manifest_scenes(two).name, "they do not share cached files"
    with pytest.raises(UserError, match="no dataset 'c': choose one of a, b"):
        manifest_scenes(two, dataset="c")
    with pytest.raises(UserError, match="dataset a, has no row with both pictures and the split 'test'"):
        manifest_scenes(two, "test", dataset="a")
    with pytest.raises(UserError, match=r"pairs\.csv names no datasets: leave out --dataset$"):
        manifest_scenes(manifest, dataset="a")
    write_manifest(two, [replace(rows[0], dataset=""), *rows[1:]])
    with pytest.raises(UserError, match=r"no dataset 'c': choose one of a, b$"):
        manifest_scenes(two, dataset="c")


def test_a_changed_picture_is_another_run(manifest):
    before = manifest_scenes(manifest).fingerprint()
    assert before == manifest_scenes(manifest).fingerprint()
    kept = (manifest.parent / "i2.png").read_bytes()
    Image.fromarray(np.zeros((48, 48), np.uint8)).save(manifest.parent / "i2.png")
    assert manifest_scenes(manifest).fingerprint() != before
    (manifest.parent / "i2.png").write_bytes(kept)


def test_a_finished_run_is_not_repeated_and_no_other_takes_its_folder(tmp_path, capsys):
    _, record, _ = train(capsys, "phase1", tmp_path / "1")
    before = folder_hash(tmp_path / "1")
    code, again, lines = train(capsys, "phase1", tmp_path / "1")
    assert code == 0 and again == record and folder_hash(tmp_path / "1") == before
    assert any("done already" in line for line in lines)
    code, _, lines = train(capsys, "phase1", tmp_path / "1", "--steps", 3)
    assert code == 2 and "holds a finished run of phase1" in lines[-1] and folder_hash(tmp_path / "1") == before


def test_a_stopped_run_goes_on_by_the_same_command(tmp_path, capsys, monkeypatch):
    options = ("--steps", 4, "--save-every", 0)
    train(capsys, "phase1", tmp_path / "whole", *options)
    from v2ir_lib.plm import run

    truly = run.train
    with monkeypatch.context() as patch:
        patch.setattr(run, "train", lambda *a, **more: truly(*a, **more, until=2))
        patch.setattr(run, "write_unet", interrupt)
        assert train(capsys, "phase1", tmp_path / "cut", *options)[0] == 130
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["checkpoints"]
    code, record, _ = train(capsys, "phase1", tmp_path / "cut", *options, "--resume")
    assert code == 0 and record["steps"] == 4
    assert folder_hash(tmp_path / "cut/unet") == folder_hash(tmp_path / "whole/unet")
    assert not (tmp_path / "cut/checkpoints").exists()


def interrupt(*_, **__):
    raise KeyboardInterrupt


BAD = {
    "no resume": (["--resume"], "holds no run to go on with"),
    "rate": (["--learning-rate", "-1"], "learning-rate must be more than 0"),
    "scheme": (["--dropout-scheme", "ours"], "choose one of released, paper"),
    "optimizer": (["--optimizer", "sgd"], "choose one of adamw, adamw8bit"),
    "profile": (["--profile", "huge"], "unknown profile 'huge'"),
    "both": (["--pack", "style", "--manifest", "x.csv"], "a manifest or a pack, not both"),
    "manifest": (["--manifest", "none.csv"], "no manifest at none.csv"),
    "start": (["--model", "nowhere"], "nowhere is no start"),
    "parts": (["--model", "random", "--accumulation", "3"], "cannot be shared by 1 process"),
    "shipped": ([], "ships no start for phase3"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_options_are_one_line(tmp_path, capsys, kind):
    options, word = BAD[kind]
    code, _, lines = train(capsys, "phase3", tmp_path / "out", *options)
    assert code == 2 and len(lines) == 1 and word in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_things_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/unet").write_text("precious")
    code, _, lines = train(capsys, "phase1", tmp_path / "mine")
    assert code == 2 and "is not empty and holds no run (unet)" in lines[-1]
    assert (tmp_path / "mine/unet").read_text() == "precious"


def test_starts_that_do_not_fit_are_refused_with_both_shapes(tmp_path, capsys, models):
    train(capsys, "phase2", tmp_path / "2", "--model", models / "unet")
    code, _, lines = train(capsys, "phase1", tmp_path / "x", "--model", tmp_path / "2")
    assert code == 2 and "conv_in.weight is (8, 12, 3, 3), not (8, 4, 3, 3)" in lines[-1]
    code, _, lines = train(capsys, "phase1", tmp_path / "x", "--model", "models/tiny/base_unet")
    assert code == 2 and "reads text of width 128, but profile tiny's text encoder gives 32" in lines[-1]
    assert not (tmp_path / "x").exists()


def test_a_split_with_no_rows_and_a_missing_picture(tmp_path, capsys, manifest):
    rows = [Record("a", "a", "none.png", "i0.png", split="train")]
    write_manifest(manifest.parent / "broken.csv", rows)
    options = ("--model", "random", "--manifest", manifest.parent / "broken.csv")
    code, _, lines = train(capsys, "phase3", tmp_path / "x", *options)
    assert code == 2 and "none.png, the visible picture of a" in lines[-1]
    code, _, lines = train(capsys, "phase3", tmp_path / "x", *options, "--split", "test")
    assert code == 2 and "no row with both pictures and the split 'test'" in lines[-1]
