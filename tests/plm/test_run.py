"""`v2ir train` from the outside, on a random model: phase 1, 2, 3 in turn, from packs and from manifests."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from random_models import random_components

from v2ir_lib import profiles
from v2ir_lib.cli import main
from v2ir_lib.diffusion.components import load_unet
from v2ir_lib.diffusion.lora import ATTENTION, load_lora
from v2ir_lib.diffusion.widening import widen
from v2ir_lib.errors import UserError
from v2ir_lib.plm import sources
from v2ir_lib.plm.sources import manifest_scenes
from v2ir_lib.profiles import TINY, Sources
from v2ir_lib.records import Record, read_manifest, write_manifest
from v2ir_lib.weights import folder_hash, read_json
from v2ir_lib.world import packs


class FakePack(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.visible)


def fake_pack(name: str, limit: int | None = None) -> FakePack:
    rng = np.random.default_rng(sum(map(ord, name)))
    count = min(limit or 5, 5)
    radiance = rng.uniform(20, 60, (count, 4, 24, 24)).astype(np.float32)
    visible = None if name == "infrared" else rng.integers(0, 255, (count, 48, 48, 3)).astype(np.uint8)
    pack = FakePack(name=name, radiance=radiance, visible=visible)
    if visible is None:
        pack.visible = [None] * count
    return pack


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """The parts of a random model, each in its folder, as a profile's sources name them."""
    folder = tmp_path_factory.mktemp("models")
    parts = random_components()
    from diffusers import UNet2DConditionModel

    for name, part in {"autoencoder": "vae", "text_encoder": "text_encoder", "tokenizer": "tokenizer"}.items():
        parts[part].save_pretrained(folder / name)
    parts["captioner"].save_pretrained(folder / "captioner")
    parts["captioner_processor"].save_pretrained(folder / "captioner")
    parts["segmenter"].save_pretrained(folder / "segmenter")
    UNet2DConditionModel(**{**dict(parts["unet"].config), "in_channels": 4}).save_pretrained(folder / "unet")
    return folder


@pytest.fixture(autouse=True)
def small(models, monkeypatch, tmp_path_factory):
    """The name "tiny" stands for the random model; packs have five scenes."""
    names = ("autoencoder", "text_encoder", "tokenizer", "unet", "captioner", "segmenter")
    few = replace(TINY.phase2, steps=2, batch_size=2, warmup_steps=1, window=0)
    profile = replace(
        TINY,
        image_size=24,
        train_resize=28,
        reading_size=48,
        caption_tokens=6,
        caption_beams=1,
        sources=Sources(**{name: str(models / name) for name in names}, pipeline=str(models / "diffv2ir")),
        phase1=replace(few, lora_rank=2),
        phase2=few,
        phase3=few,
        guidance=replace(TINY.guidance, steps=2),
        unet={key: value for key, value in read_json(models / "unet/config.json").items() if key[0] != "_"},
    )
    monkeypatch.setitem(profiles.PROFILES, "tiny", profile)
    monkeypatch.setattr(packs, "load_pack", fake_pack)
    monkeypatch.setenv("V2IR_CACHE", str(models / "cache"))


def train(capsys, phase: str, out: Path, *options) -> tuple[int, dict | None, list[str]]:
    """Exit code, what --json printed, and the lines of stderr that are no progress."""
    code = main(["train", phase, "--out", str(out), "--device", "cpu", "--json", *map(str, options)])
    printed, err = capsys.readouterr()
    lines = [line for line in err.replace("\r", "\n").split("\n") if line.strip() and "it/s" not in line]
    lines = [line for line in lines if "%|" not in line]
    return code, json.loads(printed) if printed else None, lines


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


def test_lora_in_place_of_the_whole_unet_in_phases_2_and_3(tmp_path, capsys, photograph):
    """Only the attention projections and the first convolution differ afterwards; start and lora/ make up unet/."""
    train(capsys, "phase1", tmp_path / "1")
    fast = ("--lora", 3, "--learning-rate", 0.05, "--gradient-checkpointing")
    code, second, _ = train(capsys, "phase2", tmp_path / "2", "--model", tmp_path / "1", *fast)
    start, merged = widen(load_unet(tmp_path / "1/unet"), 12), load_unet(tmp_path / "2/unet")
    changed = {name for name, weight in merged.named_parameters() if not torch.equal(weight, start.get_parameter(name))}
    attention = {name for name in changed if name.removesuffix(".weight").endswith(tuple(ATTENTION))}
    assert len(attention) > 10 and changed - attention == {"conv_in.weight", "conv_in.bias"}
    layers = [start.get_parameter(name).shape for name in attention]
    trained = sum(3 * sum(shape) for shape in layers) + start.conv_in.weight.numel() + start.conv_in.bias.numel()
    assert code == 0 and second["lora_rank"] == 3 and second["trained_parameters"] == trained
    assert float(merged.conv_in.weight[:, 4:].detach().abs().max()) > 0, "the new channels began at zero"

    draw = torch.Generator().manual_seed(0)
    z, text = torch.randn(1, 12, 8, 8, generator=draw), torch.randn(1, 7, 32, generator=draw)
    with torch.no_grad():
        before = start.eval()(z, 500, text).sample
        beside = load_lora(start, tmp_path / "2/lora").eval()(z, 500, text).sample
        after = merged.eval()(z, 500, text).sample
    assert (after - before).abs().max() > 0.01
    torch.testing.assert_close(beside, after, rtol=0, atol=1e-5)

    code, third, _ = train(capsys, "phase3", tmp_path / "3", "--model", tmp_path / "2", *fast)
    assert code == 0 and third["trained_parameters"] == trained and (tmp_path / "3/lora").is_dir()
    Image.fromarray(photograph).save(tmp_path / "photograph.png")
    arguments = ["translate", tmp_path / "photograph.png", tmp_path / "out.png", "--model", tmp_path / "3"]
    assert main([*map(str, arguments), "--device", "cpu"]) == 0
    assert Image.open(tmp_path / "out.png").size == (64, 40)
    capsys.readouterr()
    code, _, lines = train(capsys, "phase3", tmp_path / "x", "--model", tmp_path / "2/lora")
    assert code == 2 and "fits only the UNet that it was trained beside" in lines[-1]


def test_lora_that_changes_its_base_is_found_out(tmp_path, capsys, monkeypatch):
    from v2ir_lib.plm import run

    truly = run.train

    def careless(unet, *a, **more):
        progress = truly(unet, *a, **more)
        with torch.no_grad():
            unet.conv_out.bias[0] += 1e-6
        return progress

    monkeypatch.setattr(run, "train", careless)
    with pytest.raises(AssertionError, match="phase2 changed the base model"):
        train(capsys, "phase2", tmp_path / "2", "--model", "random", "--lora", 2)


def test_eight_bits_without_their_library_are_refused_before_anything_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)  # as if it were not installed
    code, _, lines = train(capsys, "phase2", tmp_path / "x", "--model", "nowhere", "--optimizer", "adamw8bit")
    assert code == 2 and len(lines) == 1 and "needs bitsandbytes: pip install bitsandbytes" in lines[0]
    assert not (tmp_path / "x").exists()


def test_the_usual_run_has_the_same_name_as_ever(tmp_path, capsys):
    """What makes training lighter but says the same is no other run; what changes it is."""
    names = {}
    for name, options in {
        "usual": (),
        "light": ("--gradient-checkpointing", "--ema-on-cpu", "--optimizer", "adamw"),
        "rank": ("--lora", 3),
    }.items():
        code, record, _ = train(capsys, "phase1", tmp_path / name, *options)
        assert code == 0
        names[name] = record["run"]
    assert names["usual"] == names["light"] != names["rank"]


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
