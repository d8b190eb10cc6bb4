"""`v2ir train` on a random model: the fixtures, the packs and the call that its tests share."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from random_models import random_components

from v2ir_lib import profiles
from v2ir_lib.cli import main
from v2ir_lib.profiles import TINY, Sources
from v2ir_lib.weights import read_json
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


@pytest.fixture(scope="module", name="models")
def model_folders(tmp_path_factory) -> Path:
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


@pytest.fixture(autouse=True, name="small")
def small_profile(models, monkeypatch, tmp_path_factory):
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
