"""The full profile: its parts from local copies of the same shape at reduced size, and its true sizes."""

import dataclasses
import os

import pytest
import torch
from compvis import SMALL, small_models
from diffusers import AutoencoderKL, UNet2DConditionModel
from random_models import random_components, random_tokenizer
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from v2ir_lib.diffusion.full import VARIABLES, find_part, load_captioning, load_part
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.diffusion.widening import widen
from v2ir_lib.errors import UserError
from v2ir_lib.files import sha256
from v2ir_lib.plm.annotate import annotate
from v2ir_lib.plm.outcome import pipeline_of
from v2ir_lib.plm.phases import get_phase
from v2ir_lib.plm.start import frozen_parts
from v2ir_lib.profiles import FULL, TINY
from v2ir_lib.vlum.segmenter import automatic_masks
from v2ir_lib.vlum.vit_sam import VitSamWrapper, load_published_sam

SMALL_VIT = FULL.vision_transformer | dict(
    image_size=64, patch_size=16, embed_dim=16, depth=2, heads=2, window_size=2, global_blocks=(1,), prompt_dim=16,
    decoder_mlp_dim=16, decoder_heads=2, iou_hidden_dim=8, mask_in_chans=4, points_per_side=3, pred_iou_thresh=-9.0,
    stability_score_thresh=0.0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_sources_of_this_machine(monkeypatch, tmp_path):
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(scope="module")
def stable_diffusion(tmp_path_factory):
    """A folder laid out as the published one: four parts, the autoencoder's attention under its first names."""
    folder = tmp_path_factory.mktemp("sd")
    unet, vae, text = small_models(in_channels=4)
    for name, part in (("unet", unet), ("vae", vae), ("text_encoder", text)):
        part.save_pretrained(folder / name)
    weights = load_file(folder / "vae/diffusion_pytorch_model.safetensors")
    for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        weights = {name.replace(f".{new}.", f".{old}."): value for name, value in weights.items()}
    assert "encoder.mid_block.attentions.0.proj_attn.weight" in weights
    save_file(weights, folder / "vae/diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    file = folder / "text_encoder/model.safetensors"
    weights = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in load_file(file).items()}
    weights["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(weights, file, metadata={"format": "pt"})
    random_tokenizer(77).save_pretrained(folder / "tokenizer")
    return folder, unet, vae, text


@torch.no_grad()
def test_stable_diffusions_parts_by_one_variable(stable_diffusion, monkeypatch):
    folder, unet, vae, text = stable_diffusion
    monkeypatch.setenv("V2IR_STABLE_DIFFUSION", str(folder))
    for part, original in (("unet", unet), ("autoencoder", vae), ("text_encoder", text)):
        loaded = load_part(SMALL, part).state_dict()
        assert loaded.keys() == original.state_dict().keys()
        assert all(torch.equal(loaded[name], value) for name, value in original.state_dict().items()), part
    assert len(load_part(SMALL, "tokenizer")) == len(random_tokenizer())


def test_an_argument_comes_before_the_variable(stable_diffusion, monkeypatch, tmp_path):
    folder, *_ = stable_diffusion
    monkeypatch.setenv("V2IR_STABLE_DIFFUSION", str(tmp_path))
    assert find_part(SMALL, "unet", {"unet": folder}) == folder / "unet"
    assert find_part(SMALL, "unet", {"unet": folder / "unet"}) == folder / "unet"
    assert find_part(SMALL, "unet") == tmp_path


def test_tinys_parts_come_by_the_same_way():
    """No code asks which size it runs at."""
    assert find_part(TINY, "unet").parts[-3:] == ("models", "tiny", "base_unet")
    assert len(load_part(TINY, "tokenizer")) > 256


@pytest.mark.parametrize("part", ["unet", "tokenizer", "captioner"])
def test_no_network(part):
    """The suite runs with the hub switched off."""
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    name = getattr(FULL.sources, part)
    with pytest.raises(UserError, match=f"no network: download {name} and name its folder by {VARIABLES[part]}=FOLDER"):
        load_part(FULL, part)


def test_only_what_is_needed_is_fetched(monkeypatch, tmp_path):
    asked = {}

    def fake(name, allow_patterns):
        asked[name] = allow_patterns
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fake)
    find_part(FULL, "unet")
    [(name, patterns)] = asked.items()
    assert name == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert "unet/diffusion_pytorch_model.safetensors" in patterns
    assert not [pattern for pattern in patterns if not pattern.startswith("unet/") or pattern.endswith((".bin", "*"))]


@pytest.mark.parametrize("part", ["unet", "segmenter"])
def test_a_named_source_that_is_not_there(part, tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        load_part(FULL, part, {part: tmp_path / "none"})


def test_sam_is_not_on_the_hub():
    with pytest.raises(UserError, match=r"sam_vit_h_4b8939\.pth.*V2IR_SEGMENTER"):
        load_part(FULL, "segmenter")


# --- BLIP, published as a pickle ---------------------------------------------------------------------------------


@pytest.fixture
def blip(tmp_path):
    """BLIP as published: pytorch_model.bin, old tokenizer files, positions among the weights."""
    parts = random_components()
    folder = tmp_path / "blip"
    parts["captioner"].save_pretrained(folder)
    parts["captioner_processor"].save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    weights = dict(parts["captioner"].state_dict())
    torch.save(
        weights | {"text_decoder.bert.embeddings.position_ids": torch.arange(24)[None]}, folder / "pytorch_model.bin"
    )
    return folder, parts["captioner"]


def test_blip_as_it_is_published(blip):
    folder, original = blip
    captioner, processor = load_captioning(SMALL, {"captioner": folder})
    loaded = captioner.state_dict()
    assert loaded.keys() == original.state_dict().keys()
    assert all(torch.equal(loaded[name], value) for name, value in original.state_dict().items())
    tokens = processor.tokenizer("a street at night")["input_ids"]
    assert processor.tokenizer.decode(tokens, skip_special_tokens=True) == "a street at night"
    pixels = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    written = [model.eval().generate(pixels, max_new_tokens=5, num_beams=2) for model in (captioner, original)]
    assert torch.equal(*written)


def test_a_hostile_captioner_is_not_run(blip, tmp_path):
    class Call:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'mark'}",)

    folder, _ = blip
    torch.save({"a": Call()}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="not a file of weights"):
        load_captioning(SMALL, {"captioner": folder})
    assert not (tmp_path / "mark").exists()


def test_another_blip(blip):
    folder, original = blip
    weights = dict(original.state_dict())
    name = "vision_model.embeddings.class_embedding"
    torch.save(weights | {name: weights[name][..., :-1].clone()}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=f"pytorch_model.bin: tensor {name} is"):
        load_captioning(SMALL, {"captioner": folder})


# --- SAM, published as a pickle with a checksum ------------------------------------------------------------------


@pytest.fixture
def sam(tmp_path):
    torch.manual_seed(0)
    wrapper = VitSamWrapper(**SMALL_VIT).eval()
    with torch.no_grad():
        for parameter in wrapper.parameters():  # rel_pos and pos_embed begin at zero
            parameter.add_(0.05 * torch.randn_like(parameter))
    torch.save(wrapper.sam.state_dict(), tmp_path / "sam.pth")
    return tmp_path / "sam.pth", wrapper


def with_sam(path):
    return dataclasses.replace(SMALL, vision_transformer=SMALL_VIT, segmenter_sha256=sha256(path))


def test_sam_from_its_file(sam, photograph, tmp_path):
    path, original = sam
    loaded = load_part(with_sam(path), "segmenter", {"segmenter": path})
    masks = automatic_masks(original, photograph)
    assert len(masks) > 0 and (automatic_masks(loaded, photograph) == masks).all()
    loaded.save_pretrained(tmp_path / "folder")
    again = load_part(SMALL, "segmenter", {"segmenter": tmp_path / "folder"})
    assert type(again) is VitSamWrapper and (automatic_masks(again, photograph) == masks).all()
    assert [path.suffix for path in (tmp_path / "folder").iterdir() if path.suffix != ".json"] == [".safetensors"]


def test_training_takes_both_as_they_are_published(sam, blip, pipeline_folder, photograph, tmp_path, monkeypatch):
    """`v2ir train` reads a pickled BLIP and SAM's file, and leaves a pipeline of safetensors that says the same."""
    monkeypatch.setenv("V2IR_CACHE", str(tmp_path / "cache"))
    profile = dataclasses.replace(with_sam(sam[0]), reading_size=64, caption_tokens=6, caption_beams=1)
    monkeypatch.setenv("V2IR_CAPTIONER", str(blip[0]))
    monkeypatch.setenv("V2IR_SEGMENTER", str(sam[0]))
    monkeypatch.setenv("V2IR_STABLE_DIFFUSION", str(pipeline_folder))
    parts = frozen_parts(profile, get_phase("phase3", profile))
    assert parts["segmenter"].suffix == ".pth" and parts["captioner_processor"] == parts["captioner"] == blip[0]
    pictures = [photograph, photograph[::-1].copy()]
    said = annotate(pictures, profile, parts)
    assert said.segments[:].max() > 0 and len(said.captions) == 2

    pipeline = pipeline_of(profile, parts, load_part(profile, "unet"))
    pipeline.save_pretrained(tmp_path / "mine")
    assert not [path for path in (tmp_path / "mine").rglob("*") if path.suffix in (".bin", ".pth")]
    saved = frozen_parts(profile, get_phase("phase3", profile), tmp_path / "mine")
    again = annotate(pictures, profile, saved, name="again")
    assert again.captions == said.captions and (again.segments[:] == said.segments[:]).all()


def test_sam_in_a_pipelines_folder(sam, tmp_path):
    _, original = sam
    pipeline = DiffV2IRPipeline(**random_components() | {"segmenter": original}, image_size=48)
    pipeline.save_pretrained(tmp_path / "pipeline")
    again = DiffV2IRPipeline.from_pretrained(tmp_path / "pipeline").segmenter
    assert type(again) is VitSamWrapper and again.config.global_blocks == [1]
    assert all(torch.equal(again.state_dict()[name], value) for name, value in original.state_dict().items())


def test_the_checksum_comes_before_the_pickle(sam, tmp_path, monkeypatch):
    path, _ = sam
    profile = with_sam(path)
    path.write_bytes(path.read_bytes()[:-1] + b"\0x")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(UserError, match="SHA-256"):
        load_part(profile, "segmenter", {"segmenter": path})


def test_a_sam_file_that_is_another(sam, tmp_path):
    path, _ = sam
    with pytest.raises(UserError, match="but its config"):
        load_published_sam(path, SMALL_VIT | dict(embed_dim=32), sha256(path))
    torch.save({"a": os.system}, tmp_path / "b.pth")
    with pytest.raises(UserError, match="not a file of weights"):
        load_published_sam(tmp_path / "b.pth", SMALL_VIT, sha256(tmp_path / "b.pth"))


# --- the true sizes ----------------------------------------------------------------------------------------------


def count(model) -> int:
    return sum(value.numel() for value in model.parameters())


def test_the_full_unet_is_stable_diffusions():
    """Of the released checkpoint: 686 tensors, 859,544,004 parameters, first convolution (320, 12, 3, 3)."""
    with torch.device("meta"):
        base = UNet2DConditionModel.from_config(FULL.unet)
        wide = widen(base)
    assert wide.conv_in.weight.is_meta
    assert count(wide) == 859_544_004 and len(wide.state_dict()) == 686
    assert count(base) == 859_520_964 == count(wide) - 320 * 8 * 9
    assert wide.conv_in.weight.shape == (320, 12, 3, 3)


def test_the_other_parts_true_sizes():
    """As published: 83.7, 123.1 and 641.1 million."""
    with torch.device("meta"):
        assert count(AutoencoderKL.from_config(FULL.autoencoder)) == 83_653_863
        assert count(CLIPTextModel(CLIPTextConfig(**FULL.text_encoder))) == 123_060_480
        assert count(VitSamWrapper(**FULL.vision_transformer)) == 641_090_608
