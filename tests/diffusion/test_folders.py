"""A pipeline folder comes back as it was saved; a broken one is one line that names the file, and never runs code."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from v2ir_lib.diffusion.folders import SETTINGS, component_folders, pipeline_hash
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.errors import UserError

UNET = "unet/diffusion_pytorch_model.safetensors"
SIBLINGS = ("vae", "text_encoder", "tokenizer", "captioner", "captioner_processor", "segmenter")


def the_same(one, other, photograph):
    first, second = (pipe(photograph, seed=5, steps=2) for pipe in (one, other))
    return first.images[0].tobytes() == second.images[0].tobytes() and first.prompts == second.prompts


@pytest.fixture
def copy(pipeline_folder, tmp_path):
    return shutil.copytree(pipeline_folder, tmp_path / "copy")


def test_round_trip(pipeline, photograph, tmp_path):
    pipeline.save_pretrained(tmp_path / "again")
    again = DiffV2IRPipeline.from_pretrained(tmp_path / "again")
    assert the_same(pipeline, again, photograph)
    assert {name: again.config[name] for name in SETTINGS} == {name: pipeline.config[name] for name in SETTINGS}
    assert not [path for path in (tmp_path / "again").rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]


def test_half_is_half_as_large_and_runs_in_float32(pipeline, photograph, tmp_path):
    pipeline.save_pretrained(tmp_path / "half", half=True)
    assert {value.dtype for value in load_file(tmp_path / "half" / UNET).values()} == {torch.float16}
    again = DiffV2IRPipeline.from_pretrained(tmp_path / "half")
    for name in ("unet", "vae", "text_encoder", "captioner", "segmenter"):
        assert {value.dtype for value in getattr(again, name).parameters()} == {torch.float32}
    assert pipeline.unet.dtype == torch.float32, "what was saved is left alone"
    assert again(photograph).images[0].size == (64, 40)


def test_shared_components_stay_where_they_are(pipeline, pipeline_folder, photograph, tmp_path):
    for name in SIBLINGS:
        shutil.copytree(pipeline_folder / name, tmp_path / name)
    light = tmp_path / "light"
    pipeline.save_pretrained(light, shared={name: f"../{name}" for name in SIBLINGS})
    assert sorted(path.name for path in light.iterdir()) == ["model_index.json", "scheduler", "unet"]
    assert the_same(pipeline, DiffV2IRPipeline.from_pretrained(light), photograph)
    before = pipeline_hash(light)
    (tmp_path / "vae" / "config.json").write_text((tmp_path / "vae" / "config.json").read_text() + "\n")
    assert pipeline_hash(light) != before, "shared components count"


@pytest.mark.parametrize("path", ["../../elsewhere", "/etc", "../../../.."])
def test_shared_paths_may_not_leave_the_parent(copy, path):
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"shared": {"vae": path}}))
    with pytest.raises(UserError, match="outside"):
        component_folders(copy)


def test_optional_components(pipeline, photograph, tmp_path):
    parts = {name: part for name, part in pipeline.components.items() if name not in ("captioner", "segmenter")}
    settings = {name: pipeline.config[name] for name in ("image_size", "reading_size", "steps")}
    bare = DiffV2IRPipeline(**parts, **settings)
    bare.save_pretrained(tmp_path / "bare")
    bare = DiffV2IRPipeline.from_pretrained(tmp_path / "bare")
    assert bare.captioner is None and bare.segmenter is None
    done = bare(photograph, caption="a street", segments=[photograph])
    assert done.prompts == ["turn the visible image of a street into infrared"]
    for missing in (dict(caption="a street"), dict(segments=[photograph])):
        with pytest.raises(ValueError, match="pass "):
            bare(photograph, **missing)


def cut(folder):
    content = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(content[: len(content) // 2])


def header_cut(folder):
    (folder / UNET).write_bytes((folder / UNET).read_bytes()[:50])


def wrong_shape(folder):
    state = load_file(folder / UNET)
    state["conv_in.weight"] = state["conv_in.weight"][:, :4].contiguous()
    save_file(state, folder / UNET)


def tensor_missing(folder):
    state = load_file(folder / UNET)
    del state["conv_in.weight"]
    save_file(state, folder / UNET)


def tensor_added(folder):
    save_file(load_file(folder / UNET) | {"surprise": torch.zeros(3)}, folder / UNET)


def pickled(folder):
    (folder / UNET).unlink()
    torch.save({"evil": torch.zeros(1)}, folder / "unet/diffusion_pytorch_model.bin")


def edit(name, **changes):
    def change(folder):
        value = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(value | changes))

    return change


def remove(name):
    return lambda folder: shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()


BROKEN = {
    "no index": (remove("model_index.json"), ["model_index.json", "missing"]),
    "index is not JSON": (lambda folder: (folder / "model_index.json").write_text("{"), ["model_index.json", "JSON"]),
    "unknown class": (edit("model_index.json", unet=["os", "system"]), ["unet", "system", "only"]),
    "setting of the wrong type": (edit("model_index.json", steps="many"), ["steps", "int"]),
    "no component folder": (remove("vae"), ["vae", "missing"]),
    "no config": (remove("unet/config.json"), ["unet/config.json", "missing"]),
    "config of another class": (edit("text_encoder/config.json", hidden_size="wide"), ["text_encoder/config.json"]),
    "no weights": (remove(UNET), ["unet/diffusion_pytorch_model.safetensors", "missing"]),
    "truncated weights": (cut, [UNET, "truncated"]),
    "truncated header": (header_cut, [UNET, "truncated"]),
    "wrong shape": (wrong_shape, [UNET, "conv_in.weight", "[8, 4, 3, 3]", "[8, 12, 3, 3]"]),
    "wrong shape of CLIP": (edit("text_encoder/config.json", vocab_size=7), ["text_encoder/model", "[7, 32]"]),
    "tensor missing": (tensor_missing, [UNET, "conv_in.weight", "missing"]),
    "tensor too many": (tensor_added, [UNET, "surprise"]),
    "pickle": (pickled, ["diffusion_pytorch_model.bin", "pickle"]),
    "no tokenizer": (remove("tokenizer/tokenizer.json"), ["tokenizer.json", "missing"]),
    "damaged tokenizer": (lambda folder: (folder / "tokenizer/tokenizer.json").write_text("{"), ["tokenizer"]),
    "no processor": (remove("captioner_processor/processor_config.json"), ["processor_config.json", "missing"]),
    "another scheduler": (edit("scheduler/scheduler_config.json", _class_name="DDIMScheduler"), ["DDIMScheduler"]),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_folders(copy, fault):
    damage, words = BROKEN[fault]
    damage(copy)
    with pytest.raises(UserError) as caught:
        DiffV2IRPipeline.from_pretrained(copy)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_a_text_to_image_unet_is_not_a_translator(pipeline, copy):
    from diffusers import UNet2DConditionModel

    UNet2DConditionModel.from_config(dict(pipeline.unet.config) | {"in_channels": 4}).save_pretrained(copy / "unet")
    with pytest.raises(UserError, match="reads 4 channels, not the 12"):
        DiffV2IRPipeline.from_pretrained(copy)


def test_missing_folder(tmp_path):
    with pytest.raises(UserError, match="model folder missing"):
        DiffV2IRPipeline.from_pretrained(tmp_path / "nowhere")


def test_a_failed_save_leaves_nothing(pipeline, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pipeline.unet, "save_pretrained", full)
    with pytest.raises(UserError, match="disk is full"):
        pipeline.save_pretrained(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
