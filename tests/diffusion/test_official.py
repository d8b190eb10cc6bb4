"""The authors' checkpoint: every tensor arrives, the same numbers come out, and a wrong file leaves nothing behind."""

import json

import compvis
import pytest
import torch
from compvis import SMALL, compvis_state, lightning, small_models
from random_models import random_components, random_tokenizer
from safetensors.torch import save_file

from v2ir_lib.cli import main
from v2ir_lib.diffusion.official import check_layout, convert_official, convert_unet, ema_name, open_checkpoint
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.errors import UserError
from v2ir_lib.files import sha256
from v2ir_lib.profiles import FULL, PROFILES


@pytest.fixture(scope="module")
def models():
    """The file's own UNet and the one whose average it holds; autoencoder; text encoder."""
    unet, vae, text = small_models()
    return unet, small_models(seed=1)[0], vae, text


@pytest.fixture(scope="module")
def checkpoint(models, tmp_path_factory):
    """Read only: copy it to break it."""
    unet, averaged, vae, text = models
    path = tmp_path_factory.mktemp("official") / "diffv2ir.ckpt"
    return compvis.save(lightning(compvis_state(unet, vae, text, averaged)), path)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A folder as Stable Diffusion's: the tokenizer in a folder of its own."""
    folder = tmp_path_factory.mktemp("stable-diffusion")
    random_tokenizer(77).save_pretrained(folder / "tokenizer")
    return folder


@pytest.fixture
def convert(tokenizer, monkeypatch, capsys):
    """Run the command at reduced width; returns exit code, stdout, the lines of stderr without the progress bar."""
    monkeypatch.setitem(PROFILES, "full", SMALL)

    def run(*args):
        code = main(["convert-official", *map(str, args), "--tokenizer", str(tokenizer)])
        out, err = capsys.readouterr()
        lines = err.replace("\r", "\n").split("\n")
        return code, out, [line for line in lines if line.strip() and not line.startswith(("converting", "writing"))]

    return run


def inputs(batch: int = 2):
    draw = torch.Generator().manual_seed(2)
    x, text = torch.randn(batch, 12, 8, 8, generator=draw), torch.randn(batch, 77, 24, generator=draw)
    return x, torch.tensor([3.0, 700.0]), text


@torch.no_grad()
def answer(unet):
    x, t, text = inputs()
    return unet(x, t, encoder_hidden_states=text).sample


def test_the_file_has_the_released_layout(checkpoint):
    tensors = open_checkpoint(checkpoint)
    names = [name for name in tensors if name.startswith("model.diffusion_model.")]
    assert len(names) == 686
    assert ema_name("model.diffusion_model.input_blocks.0.0.weight") == "model_ema.diffusion_modelinput_blocks00weight"
    for name in (
        "model_ema.diffusion_modelinput_blocks00weight",
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        "model.diffusion_model.input_blocks.4.0.skip_connection.weight",
        "model.diffusion_model.input_blocks.3.0.op.weight",
        "model.diffusion_model.middle_block.2.out_layers.3.bias",
        "model.diffusion_model.output_blocks.2.1.conv.weight",
        "model.diffusion_model.output_blocks.5.2.conv.weight",
        "model.diffusion_model.output_blocks.11.1.proj_out.weight",
        "first_stage_model.encoder.down.0.downsample.conv.weight",
        "first_stage_model.decoder.up.3.upsample.conv.weight",
        "first_stage_model.decoder.mid.attn_1.proj_out.weight",
        "first_stage_model.post_quant_conv.bias",
        "cond_stage_model.transformer.text_model.final_layer_norm.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.1.self_attn.q_proj.weight",
    ):
        assert name in tensors, name


def test_converts_and_computes_the_same(convert, checkpoint, models, tmp_path):
    unet, averaged, vae, text = models
    code, out, err = convert(checkpoint, tmp_path / "out", "--json")
    assert code == 0 and err == []
    report = json.loads(out)
    assert report["averaged"] and not report["captioner"] and not report["segmenter"]
    assert report["parameters"]["unet"] == sum(value.numel() for value in unet.parameters())
    assert not [p for p in (tmp_path / "out").rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".ckpt")]

    done = DiffV2IRPipeline.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(answer(done.unet), answer(averaged), rtol=0, atol=1e-5)
    assert (answer(done.unet) - answer(unet)).abs().max() > 1e-2, "the average is taken by default"
    picture = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    tokens = torch.arange(77)[None]
    with torch.no_grad():
        z = vae.encode(picture).latent_dist.mode()
        torch.testing.assert_close(done.vae.encode(picture).latent_dist.mode(), z, rtol=0, atol=1e-5)
        torch.testing.assert_close(done.vae.decode(z).sample, vae.decode(z).sample, rtol=0, atol=1e-5)
        same = [encoder(tokens).last_hidden_state for encoder in (done.text_encoder, text)]
        torch.testing.assert_close(*same, rtol=0, atol=1e-5)
    for part, original in ((done.unet, averaged), (done.vae, vae), (done.text_encoder, text)):
        assert part.state_dict().keys() == original.state_dict().keys(), "0 missing, 0 unexpected"

    config = done.config
    assert (config.image_size, config.reading_size, config.caption_tokens, config.steps) == (256, 1024, 20, 100)
    assert (config.s_text, config.s_visible, config.s_segments) == (7.5, 1.5, 1.5)
    assert done.scheduler.config.prediction_type == "epsilon" and done.vae.config.scaling_factor == 0.18215
    assert done.unet.config.in_channels == 12 and len(done.tokenizer) == len(random_tokenizer())


def test_without_the_average(convert, checkpoint, models, tmp_path):
    code, out, _ = convert(checkpoint, tmp_path / "out", "--no-ema")
    assert code == 0 and "not averaged" in out
    made = DiffV2IRPipeline.from_pretrained(tmp_path / "out").unet
    torch.testing.assert_close(answer(made), answer(models[0]), rtol=0, atol=1e-5)
    assert (answer(made) - answer(models[1])).abs().max() > 1e-2


def test_safetensors_in_the_same_layout(convert, models, tmp_path):
    unet, averaged, vae, text = models
    state = {name: value.clone().contiguous() for name, value in compvis_state(unet, vae, text, averaged).items()}
    save_file(state, tmp_path / "a.safetensors")
    assert convert(tmp_path / "a.safetensors", tmp_path / "out")[0] == 0
    made = DiffV2IRPipeline.from_pretrained(tmp_path / "out").unet
    torch.testing.assert_close(answer(made), answer(averaged), rtol=0, atol=1e-5)
    (tmp_path / "b.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:100_000])
    code, _, err = convert(tmp_path / "b.safetensors", tmp_path / "other")
    assert code == 2 and len(err) == 1 and "truncated" in err[0]


def test_captioner_and_segmenter_go_in_and_it_translates(convert, checkpoint, photograph, tmp_path):
    parts = random_components()
    for name in ("captioner", "captioner_processor", "segmenter"):
        parts[name].save_pretrained(tmp_path / "given" / name)
    given = ("--captioner", tmp_path / "given/captioner", "--segmenter", tmp_path / "given/segmenter")
    code, out, _ = convert(checkpoint, tmp_path / "out", "--json", *given)
    assert code == 0 and json.loads(out)["captioner"] and json.loads(out)["segmenter"]
    done = DiffV2IRPipeline.from_pretrained(tmp_path / "out")
    translation = done(photograph[:32, :32], segments=[photograph], steps=2, seed=1)
    assert translation.captions[0] is not None and translation.images[0].size == (32, 32)


@pytest.fixture(scope="module")
def bare(checkpoint, tokenizer, tmp_path_factory):
    """Converted, without captioner and segmenter."""
    folder = tmp_path_factory.mktemp("bare") / "out"
    convert_official(checkpoint, folder, profile=SMALL, given={"tokenizer": tokenizer})
    return folder


@pytest.mark.parametrize("options, word", [((), "--prompt"), (("--prompt", "a street"), "no segmenter")])
def test_translate_says_what_is_missing(bare, photograph, tmp_path, capsys, monkeypatch, options, word):
    from PIL import Image

    Image.fromarray(photograph).save(tmp_path / "a.png")
    monkeypatch.setattr(DiffV2IRPipeline, "from_pretrained", lambda *_, **__: pytest.fail("read before it was said"))
    code = main(["translate", str(tmp_path / "a.png"), str(tmp_path / "b"), "--model", str(bare), *options])
    err = capsys.readouterr().err.strip().split("\n")
    assert code == 2 and len(err) == 1 and word in err[0] and not (tmp_path / "b").exists()


# --- files that are something else -------------------------------------------------------------------------------


def without(prefix):
    return lambda state: {name: value for name, value in state.items() if not name.startswith(prefix)}


def channels(count):
    first = "model.diffusion_model.input_blocks.0.0.weight"
    return lambda state: state | {first: state[first][:, :count].clone()}


def resized(state):
    name = "model_ema.diffusion_modeloutput_blocks00in_layers2weight"
    return state | {name: state[name][:-1].clone()}


WRONG = {
    "Stable Diffusion": (channels(4), "a plain Stable Diffusion file"),
    "InstructPix2Pix": (channels(8), "an InstructPix2Pix file"),
    "inpainting": (channels(9), "inpainting"),
    "five channels": (channels(5), "another model's file"),
    "no UNet": (without("model.diffusion"), "is not a CompVis checkpoint"),
    "no autoencoder": (without("first_stage"), "holds no autoencoder"),
    "no text encoder": (without("cond_stage"), "holds no text encoder"),
    "no average": (without("model_ema"), "--no-ema"),
    "half an average": (without("model_ema.diffusion_modeloutput"), "the moving average lacks"),
    "UNet incomplete": (without("model.diffusion_model.middle_block.0"), "mid_block"),
    "UNet with more": (lambda s: s | {"model.diffusion_model.label_emb.0.weight": torch.ones(2),
                                      "model_ema.diffusion_modellabel_emb0weight": torch.ones(2)}, "of which 686"),
    "UNet of another width": (resized, "up_blocks.0.resnets.0.conv1.weight is"),
    "autoencoder incomplete": (without("first_stage_model.decoder.up.2"), "up_blocks"),
    "autoencoder with more": (lambda s: s | {"first_stage_model.extra.weight": torch.ones(2)}, "AutoencoderKL"),
    "text encoder deeper": (lambda s: s | {"cond_stage_model.transformer.text_model.encoder.layers.9.mlp.fc1.bias":
                                           torch.ones(3)}, "layers.9"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_another_models_file(kind, convert, models, tmp_path):
    unet, averaged, vae, text = models
    change, words = WRONG[kind]
    path = compvis.save(lightning(change(compvis_state(unet, vae, text, averaged))), tmp_path / "a.ckpt")
    code, out, err = convert(path, tmp_path / "out")
    assert code == 2 and out == "" and len(err) == 1 and words in err[0] and str(path) in err[0], err
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"], "nothing is written"


@pytest.mark.parametrize("kind", ["truncated", "text", "missing", "hostile", "old"])
def test_not_a_checkpoint(kind, convert, checkpoint, tmp_path):
    path = tmp_path / "a.ckpt"
    if kind == "truncated":
        path.write_bytes(checkpoint.read_bytes()[:100_000])
    elif kind == "text":
        path.write_text("not a checkpoint")
    elif kind == "hostile":
        torch.save({"state_dict": {}, "hook": print}, path)
    elif kind == "old":
        torch.save({"state_dict": {}}, path, _use_new_zipfile_serialization=False)
    code, out, err = convert(path, tmp_path / "out")
    assert code == 2 and out == "" and len(err) == 1 and "a.ckpt" in err[0]
    assert not [p for p in tmp_path.iterdir() if p != path]


def test_what_lies_in_the_output_is_not_replaced(convert, checkpoint, bare, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    for output, words in (("mine", "give a new folder"), ("file", "give a folder")):
        code, _, err = convert(checkpoint, tmp_path / output)
        assert code == 2 and len(err) == 1 and words in err[0]
    assert (tmp_path / "file").read_text() == "x"
    assert (tmp_path / "mine" / "notes.txt").read_text() == "x"


def test_no_tokenizer_and_no_network(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(PROFILES, "full", SMALL)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    code = main(["convert-official", str(checkpoint), str(tmp_path / "out")])
    err = [line for line in capsys.readouterr().err.replace("\r", "\n").split("\n") if line.startswith("error")]
    assert code == 2 and len(err) == 1 and "no network" in err[0] and "V2IR_STABLE_DIFFUSION" in err[0]
    assert not (tmp_path / "out").exists()


def test_the_true_width_is_checked(checkpoint):
    """A file of another width does not pass as the full one's."""
    tensors = open_checkpoint(checkpoint)
    check_layout(tensors, checkpoint, averaged=True)
    with pytest.raises(UserError, match="but its config"):
        convert_unet(tensors, FULL, checkpoint, averaged=True)


def test_the_checkpoint_is_left_alone(convert, checkpoint, tmp_path):
    before = sha256(checkpoint)
    convert(checkpoint, tmp_path / "out")
    assert sha256(checkpoint) == before
