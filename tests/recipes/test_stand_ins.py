"""Autoencoder, words and text-to-image model: the whole chain on a few fake scenes, and what each part promises."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from v2ir_lib.profiles import TINY
from v2ir_lib.recipes import autoencoder, base, words
from v2ir_lib.recipes.measure import chosen_rightly, measure, psnr
from v2ir_lib.recipes.pictures import shrink, true_masks
from v2ir_lib.recipes.stage import Run
from v2ir_lib.world import CLASS_INDEX, SEASONS, SETTINGS, TIMES, VIEWPOINTS, WEATHERS
from v2ir_lib.world.captions import caption_of

CHAIN = ("autoencoder", "words", "base")


class FakePack(SimpleNamespace):
    def __len__(self):
        return len(self.captions)


def fake_attributes(name: str, count: int) -> tuple[np.random.Generator, list[dict]]:
    """What is said of each scene, and the generator that goes on to draw its pictures."""
    rng = np.random.default_rng(sum(map(ord, name)))
    choices = dict(setting=SETTINGS, time=TIMES, season=SEASONS, weather=WEATHERS, viewpoint=VIEWPOINTS)
    attributes = [
        {name: str(rng.choice(values)) for name, values in choices.items()}
        | {"objects": {"car": 1, "tree": 1}, "traffic": False}
        for _ in range(count)
    ]
    return rng, attributes


def fake_pack(name: str, limit: int | None = None, count: int = 8) -> FakePack:
    """Noise over flat ground, one car each, and captions in the world's own words."""
    count = min(limit or count, count)
    rng, attributes = fake_attributes(name, count)
    instances = np.zeros((count, 192, 192), np.uint8)
    classes = np.full((count, 192, 192), CLASS_INDEX["road"], np.uint8)
    instances[:, 80:120, 60:140], classes[:, 80:120, 60:140] = 1, CLASS_INDEX["car"]
    classes[:, :60] = CLASS_INDEX["sky"]
    visible = (
        rng.integers(0, 256, (count, 1, 1, 3)) + 2 * classes[..., None] + rng.integers(0, 30, (count, 192, 192, 3))
    )
    radiance = 30 + classes[:, None, ::2, ::2] + rng.random((count, 4, 96, 96))
    return FakePack(
        name=name,
        visible=visible.clip(0, 255).astype(np.uint8),
        radiance=radiance.astype(np.float32),
        instances=instances,
        classes=classes,
        captions=[caption_of(a) for a in attributes],
        specs=[{"attributes": a} for a in attributes],
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The three stages, two steps each, then the measures."""
    root = tmp_path_factory.mktemp("stand-ins")
    run = Run(
        root / "models",
        root / "results",
        root / "work",
        seed=3,
        steps=2,
        device="cpu",
        load=partial(fake_pack, count=6),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("V2IR_CACHE", str(root / "cache"))
        patch.setattr(autoencoder, "BATCH", 2)
        patch.setattr(words, "BATCH", 10)
        patch.setattr(base, "BATCH", 2)
        patch.setattr(base, "SHOWN", base.SHOWN[:1])
        patch.setattr("v2ir_lib.recipes.measure.SAMPLING_STEPS", 1)
        autoencoder.train_autoencoder(run)
        words.train_words(run)
        base.train_base(run)
        measure(run)
    return run


def test_the_chain_leaves_folders_that_load_and_records(trained):
    from v2ir_lib.diffusion.components import (
        encode_text,
        load_autoencoder,
        load_text_encoder,
        load_tokenizer,
        load_unet,
    )

    vae = load_autoencoder(trained.models / "autoencoder")
    tokenizer = load_tokenizer(trained.models / "tokenizer")
    text_encoder = load_text_encoder(trained.models / "text_encoder")
    unet = load_unet(trained.models / "base_unet")
    text = encode_text(tokenizer, text_encoder, ["an infrared image"])
    assert text.shape == (1, words.LENGTH, TINY.unet["cross_attention_dim"])
    with torch.no_grad():
        latent = vae.encode(torch.zeros(1, 3, 96, 96)).latent_dist.mode()
        assert unet(latent, 5, encoder_hidden_states=text).sample.shape == latent.shape == (1, 4, 24, 24)
    for name in CHAIN:
        record = json.loads((trained.results / "recipes" / f"{name}.json").read_text())
        assert not record["complete"] and record["steps"] == 2 and len(record["curve"]) == 2
        assert trained.figure(name).stat().st_size > 0
    sizes = [path.stat().st_size for path in trained.models.rglob("*") if path.is_file()]
    assert max(sizes) < 7.6e6 and not [path for path in trained.models.rglob("*") if path.suffix in (".bin", ".pt")]


def test_measures_name_what_was_measured(trained):
    found = json.loads((trained.results / "standins.json").read_text())
    assert found["provenance"]["seed"] == 3
    assert found["autoencoder"]["visible"]["pictures"] == 6 and len(found["autoencoder"]["infrared_by_camera"]) >= 8
    assert 0 <= found["clip_vision"]["visible"] <= 1
    assert found["base_unet"]["fd_tiny"]["samples"] is None  # six pictures cannot give a covariance of 64 features
    assert "captioner" not in found  # not trained here


def test_scaling_factor_makes_unit_variance(trained):
    from v2ir_lib.diffusion.components import load_autoencoder

    vae, run = load_autoencoder(trained.models / "autoencoder"), trained
    pictures = autoencoder.training_pictures(run)
    latents = [autoencoder.encode_all(vae, pictures[kind], torch.Generator()) for kind in ("visible", "infrared")]
    assert vae.config.scaling_factor != 0.18215
    assert float(torch.cat([z.flatten() for z in latents]).std()) * vae.config.scaling_factor == pytest.approx(
        1, rel=0.02
    )


def test_the_text_encoder_pools_the_end_of_the_text(trained):
    from v2ir_lib.diffusion.components import load_text_encoder, load_tokenizer

    tokenizer, tower = load_tokenizer(trained.models / "tokenizer"), load_text_encoder(trained.models / "text_encoder")
    ids = tokenizer("an infrared image", return_tensors="pt").input_ids
    with torch.no_grad():
        short = tower(ids)
        padded = tower(tokenizer("an infrared image", padding="max_length", return_tensors="pt").input_ids)
    assert torch.allclose(short.pooler_output, short.last_hidden_state[:, -1])
    assert torch.allclose(short.pooler_output, padded.pooler_output, atol=1e-5)  # training pads less than inference


def test_tokenizer_knows_the_words_and_spells_the_rest(tmp_path):
    captions = [caption_of(attributes) for attributes in fake_attributes("captioned", 200)[1]]
    tokenizer = words.train_tokenizer([*captions, *[TINY.prompt.format(caption=""), TINY.phase1_prompt] * 50])
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    assert len(again) == len(tokenizer) <= words.VOCABULARY and again.model_max_length == words.LENGTH
    for text in (TINY.phase1_prompt, captions[0], TINY.prompt.format(caption=captions[1]), "naïve 42 λ!"):
        ids = again(text).input_ids
        assert again.decode(ids, skip_special_tokens=True).replace(" ", "") == text.lower().replace(" ", "")
        assert ids == tokenizer(text).input_ids and ids[0] == again.bos_token_id and ids[-1] == again.eos_token_id
    assert again.tokenize(TINY.phase1_prompt) == ["an</w>", "infrared</w>", "image</w>"]
    assert len(again(" ".join(captions), truncation=True).input_ids) == words.LENGTH
    assert again.eos_token_id == len(again) - 1


def test_shortened_captions_keep_words_in_order():
    caption = fake_pack("captioned").captions[0]
    rng = np.random.default_rng(0)
    short = {words.thin_out(caption, rng) for _ in range(50)}
    assert len(short) > 5
    for text in short:
        remaining = iter(caption.replace(",", "").split())
        assert text and all(word in remaining for word in text.split())


def test_equal_texts_are_not_counted_as_mistakes():
    """Two pictures with one caption: towers that cannot tell them apart must not be punished for it."""
    tokenizer = words.train_tokenizer(["a car", "a bus"] * 50)
    torch.manual_seed(0)
    model = words.ClipTraining(words.build_clip(tokenizer), 3)
    pixels, answers = torch.randn(1, 3, 96, 96).expand(2, -1, -1, -1), torch.full((2, 3), -1.0)
    ids = tokenizer(["a car", "a car"], return_tensors="pt").input_ids
    assert model(pixels, ids, answers)[1]["contrast"].item() == pytest.approx(np.log(2), abs=1e-4)
    ids = tokenizer(["a car", "a bus"], return_tensors="pt").input_ids
    assert model(pixels, ids, answers)[1]["contrast"].item() > np.log(2) + 1e-4


def test_draws_have_the_mixture_and_stay_in_range():
    generator = torch.Generator().manual_seed(0)
    flat = {
        name: np.full((3, 96, 96, 3), value, np.uint8)
        for name, value in zip(autoencoder.MIX, (0, 255, 51), strict=True)
    }
    batch = autoencoder.draw(flat, 400, 16, generator)
    values, counts = batch[:, 0, 0, 0].round(decimals=3).unique(return_counts=True)
    assert batch.shape == (400, 3, 16, 16) and values.tolist() == pytest.approx([-1.0, -0.6, 1.0])
    assert counts.tolist() == pytest.approx([160, 80, 160], abs=40)


def test_reconstruction_loss_counts_edges():
    truth, blurred = torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.1)
    ripple = 0.1 * torch.tensor([1.0, -1.0]).repeat(4).expand(1, 3, 8, 8)
    flat, rough = (autoencoder.reconstruction_loss(answer, truth) for answer in (blurred, ripple))
    assert flat[0].item() == pytest.approx(rough[0].item()) and flat[1] == 0 and rough[1].item() == pytest.approx(0.2)


def test_true_masks_cover_everything_once():
    pack = fake_pack("pairs")
    masks = true_masks(pack.instances[0], pack.classes[0])
    assert masks.shape == (3, 192, 192) and (masks.sum(0) == 1).all()  # the car, sky, road


def test_shrinking_keeps_the_mean():
    pictures = np.random.default_rng(0).integers(100, 156, (3, 192, 192, 3)).astype(np.uint8)
    small = shrink(pictures, 96)
    assert small.shape == (3, 96, 96, 3) and small.dtype == np.uint8
    assert np.allclose(small.mean((1, 2)), pictures.mean((1, 2)), atol=0.6)


def test_psnr_of_a_known_error():
    truth = np.zeros((2, 4, 4, 3), np.uint8)
    assert psnr(truth + np.uint8(255), truth) == pytest.approx([0, 0]) and psnr(truth + np.uint8(16), truth)[0] > 24


def test_retrieval_counts_ties_as_chance_and_skips_equal_captions():
    captions = [f"scene {i % 10}" for i in range(40)]  # ten captions, four times each
    alike = np.zeros((40, 40))
    assert chosen_rightly(alike, captions, 8, 0) == pytest.approx(1 / 8)
    same = np.array([[a == b for b in captions] for a in captions], float)  # knows captions, not scenes
    assert chosen_rightly(same, captions, 8, 0) == 1.0
    assert chosen_rightly(-same, captions, 8, 0) == 0.0
    with pytest.raises(ValueError, match="10 different captions"):
        chosen_rightly(alike, captions, 11, 0)
