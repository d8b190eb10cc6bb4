"""The whole chain on fake scenes and random stand-ins: phase 1 → 2 → 3 → the figures of the quickstart."""

import json
from dataclasses import replace

import numpy as np
import pytest
from random_models import random_components

from v2ir_lib.profiles import TINY
from v2ir_lib.weights import folder_hash

PACK_SIZES = {"infrared": 6, "pairs": 6, "style": 4, "validation": 4, "heldout": 6}


def fake_pack(name: str, limit: int | None = None):
    """Scenes of the fake world with radiance: bright objects on a darker ground, another level in each band."""
    from scenes import fake_pack as scenes

    pack = scenes(PACK_SIZES[name], seed=sum(map(ord, name)), name=name, size=96)
    level = pack.instances[:, None, ::2, ::2] * 20.0 + pack.visible[:, ::2, ::2, 0][:, None] / 8
    pack.radiance = (level * np.arange(1, 5)[None, :, None, None] + 30).astype(np.float32)
    for spec, weather in zip(pack.specs, ["fog", "clear"] * 3, strict=False):
        spec["attributes"]["weather"] = weather
    return pack


class Pack:
    """A pack with a length."""

    def __init__(self, name: str, limit: int | None = None):
        self.__dict__.update(vars(fake_pack(name, limit)))

    def __len__(self) -> int:
        return len(self.specs)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Random stand-ins, then the three phases for two steps each; the run and the base model's hash before it."""
    from diffusers import UNet2DConditionModel

    from v2ir_lib.recipes.phases import train_phase1, train_phase2, train_phase3
    from v2ir_lib.recipes.stage import Run

    root = tmp_path_factory.mktemp("chain")
    patch = pytest.MonkeyPatch()
    patch.setenv("V2IR_CACHE", str(root / "cache"))
    few = replace(TINY.phase2, batch_size=4, window=8)
    small = replace(
        TINY,
        image_size=48,
        train_resize=52,
        reading_size=48,
        caption_tokens=6,
        caption_beams=1,
        phase1=replace(few, lora_rank=2),
    )
    small = replace(small, phase2=few, phase3=few, guidance=replace(TINY.guidance, steps=2))
    for module in ("v2ir_lib.recipes.phases", "v2ir_lib.evaluation.quickstart"):
        patch.setattr(f"{module}.TINY", small)
    parts = random_components()
    run = Run(models=root / "models", results=root / "results", work=root / "work", steps=2, load=Pack)
    for folder, part in {
        "autoencoder": "vae",
        "text_encoder": "text_encoder",
        "tokenizer": "tokenizer",
        "captioner": "captioner",
        "segmenter": "segmenter",
    }.items():
        parts[part].save_pretrained(run.models / folder)
    parts["captioner_processor"].save_pretrained(run.models / "captioner")
    base = UNet2DConditionModel(**{**dict(parts["unet"].config), "in_channels": 4})
    base.save_pretrained(run.models / "base_unet")
    before = folder_hash(run.models / "base_unet")
    for phase in (train_phase1, train_phase2, train_phase3):
        phase(run)
    yield run, before
    patch.undo()


def test_each_phase_leaves_what_the_next_one_needs(chain):
    run, before = chain
    assert folder_hash(run.models / "base_unet") == before
    names = {path.relative_to(run.models).as_posix() for path in run.models.rglob("*.safetensors")}
    assert {"phase1_lora/pytorch_lora_weights.safetensors", "phase2_unet/diffusion_pytorch_model.safetensors"} <= names
    light = {path.relative_to(run.models / "diffv2ir").as_posix() for path in (run.models / "diffv2ir").rglob("*.*")}
    assert light == {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    }  # the other components are named, not copied
    assert not list(run.work.rglob("*.safetensors"))


def test_records_say_how_it_was_made(chain):
    run, _ = chain
    for name in ("phase1", "phase2", "phase3"):
        record = json.loads((run.results / "recipes" / f"{name}.json").read_text())
        assert record["steps"] == len(record["curve"]) == 2 and not record["complete"]
        assert record["trained_parameters"] > 0 and record["provenance"]["seed"] == 0
        assert (run.results / "figures" / f"{name}.jpg").stat().st_size > 1000


def test_the_pipeline_folder_loads_and_translates(chain):
    from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline

    run, _ = chain
    pipeline = DiffV2IRPipeline.from_pretrained(run.models / "diffv2ir")
    done = pipeline(fake_pack("heldout").visible[0], caption="a street", steps=2, seed=0)
    assert np.asarray(done.images[0]).shape == (96, 96)


def test_quickstart_measures_it(chain, monkeypatch, tmp_path):
    from v2ir_lib.evaluation import quickstart

    run, _ = chain
    monkeypatch.setattr(quickstart, "load_pack", Pack)
    report = quickstart.measure(run.models, tmp_path, set_defaults=True, smoke=True)
    assert json.loads((tmp_path / "quickstart.json").read_text()) == json.loads(json.dumps(report))
    overall = report["held_out"]["groups"]["all"]
    methods = {"translation", *quickstart.BASELINES, "autoencoder (ceiling)"}
    assert methods < overall["psnr"].keys() and all(overall["psnr"][m]["n"] == 6 for m in methods)
    assert {"day", "night", "fog"} & report["held_out"]["groups"].keys()
    assert report["guidance"]["chosen"] in [
        {k: v for k, v in tried.items() if k not in ("psnr", "ssim")} for tried in report["guidance"]["tried"]
    ]
    index = json.loads((run.models / "diffv2ir" / "model_index.json").read_text())
    assert {name: index[name] for name in report["guidance"]["chosen"]} == report["guidance"]["chosen"]
    assert "pipeline" in report["provenance"]["weights_sha256"]

    def never(*_, **__):
        raise AssertionError("computed again what the cache holds")

    monkeypatch.setattr("v2ir_lib.diffusion.pipeline.DiffV2IRPipeline.__call__", never)
    assert quickstart.measure(run.models, tmp_path, smoke=True)["held_out"] == report["held_out"]
