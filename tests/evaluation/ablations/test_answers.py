"""Translations of a row: each scene's noise is its own, what decides a picture is in the name of its file."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from v2ir_lib.diffusion.components import encode_text
from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.guidance import branches
from v2ir_lib.diffusion.latents import decode, infrared
from v2ir_lib.diffusion.sampling import make_scheduler, sample
from v2ir_lib.evaluation.ablations import answers
from v2ir_lib.evaluation.ablations.answers import STRIDE, fd_tiny, sampled, scores, to_pixels, translations
from v2ir_lib.evaluation.ablations.rows import TABLE3, Row, Told
from v2ir_lib.profiles import Guidance

FULL = ("visible", "segments", "text")
SCALES = Guidance(s_text=2.0, s_visible=1.5, s_segments=0.5, steps=2)  # all three differ


@pytest.fixture
def lab(pipeline, monkeypatch, tmp_path):
    """As much of a `Lab` as sampling asks for, around a random pipeline; its cache is its own."""
    monkeypatch.setenv("V2IR_CACHE", str(tmp_path))
    encoders = SimpleNamespace(
        text=lambda prompts: encode_text(pipeline.tokenizer, pipeline.text_encoder, prompts).detach(),
        autoencoder=pipeline.vae,
        autoencoder_fingerprint="one",
    )
    return SimpleNamespace(encoders=encoders, profile=SimpleNamespace(prediction="v_prediction"))


@pytest.fixture
def known(lab) -> Conditions:
    draw = torch.Generator().manual_seed(0)
    visible, segments = torch.randn(2, 3, 4, 12, 12, generator=draw)
    return Conditions(lab.encoders.text(["a", "b", "c"]), visible, segments)


def by_hand(pipeline, lab, known, seeds, chain=FULL) -> np.ndarray:
    every = branches(2.0, 1.5, 0.5, chain)
    scheduler = make_scheduler("v_prediction")
    z = sample(pipeline.unet, scheduler, known, lab.encoders.text([""]), every, steps=2, seeds=seeds)
    return to_pixels(infrared(decode(pipeline.vae, z))).astype(int)


def test_noise_belongs_to_seed_and_scene(pipeline, lab, known, monkeypatch):
    """Seed 0 is the shipped command's; neither the batch nor the scenes around change a picture."""
    for seed, seeds in ((0, [0, 1, 2]), (1, [STRIDE, STRIDE + 1, STRIDE + 2])):
        found = sampled(lab, pipeline.unet, known, FULL, SCALES, seed).astype(int)
        assert np.abs(found - by_hand(pipeline, lab, known, seeds)).max() <= 1 and found.std() > 0
    monkeypatch.setattr(answers, "BATCH", 2)
    apart = sampled(lab, pipeline.unet, known, FULL, SCALES, 1, name="apart").astype(int)
    assert apart.shape == (3, 48, 48) and np.abs(apart - found).max() <= 1


def test_the_chain_is_asked_for(pipeline, lab, known):
    short = sampled(lab, pipeline.unet, known, ("visible",), SCALES, 0).astype(int)
    assert np.abs(short - by_hand(pipeline, lab, known, [0, 1, 2], ("visible",))).max() <= 1
    assert np.abs(short - by_hand(pipeline, lab, known, [0, 1, 2])).max() > 1


@pytest.mark.parametrize(
    "change", ["chain", "guidance", "steps", "seed", "words", "maps", "weights", "decoder", "prediction"]
)
def test_only_the_very_same_is_taken_from_the_cache(change, lab, known, monkeypatch):
    """Everything that decides a picture is in its key: with any of it changed, it is computed anew."""
    made = []
    monkeypatch.setattr(answers, "sample", lambda *given, **more: made.append(1) or torch.zeros(3, 4, 12, 12))
    asked = {"unet": torch.nn.Linear(2, 2), "known": known, "chain": FULL, "guidance": SCALES, "seed": 0}
    for _ in range(2):
        sampled(lab, **asked)
    assert made == [1]
    other = {
        "chain": {"chain": ("segments", "visible", "text")},
        "guidance": {"guidance": replace(SCALES, s_segments=0.6)},
        "steps": {"guidance": replace(SCALES, steps=3)},
        "seed": {"seed": 1},
        "words": {"known": replace(known, text=known.text + 1)},
        "maps": {"known": replace(known, segments=known.segments + 1)},
        "weights": {"unet": torch.nn.Linear(2, 2)},
    }
    if change == "decoder":
        lab.encoders.autoencoder_fingerprint = "another"
    elif change == "prediction":
        lab.profile.prediction = "epsilon"
    sampled(lab, **asked | other.get(change, {}))
    assert made == [1, 1]


def test_a_row_is_translated_by_its_own_model_and_told_what_it_was_told(monkeypatch, tmp_path):
    lab = SimpleNamespace(
        folder=lambda stage: tmp_path / f"{stage.phase}-{stage.seed}",
        shipped=tmp_path / "shipped",
        known=lambda told: ("known", told),
        heldout=SimpleNamespace(visible="visible"),
    )
    monkeypatch.setattr(answers, "load_unet", lambda place: place)
    monkeypatch.setattr(answers, "component_folders", lambda folder: {"unet": folder / "unet"})
    monkeypatch.setattr(answers, "sampled", lambda lab, *given: given)
    monkeypatch.setattr(answers.regression, "start_regression", lambda seed, place: (seed, place))
    monkeypatch.setattr(answers.regression, "answers", lambda unet, visible: (unet, visible))
    words = TABLE3[6]
    told, chain = ("known", words.told), ("visible", "text")
    assert translations(lab, words, 2) == (tmp_path / "phase3-2" / "unet", told, chain, words.guidance, 2)
    shipped = Row("as trained", "the shipped model")
    assert translations(lab, shipped, 0)[0] == tmp_path / "shipped" / "unet"
    plain = Row("unet", "regression", ("phase2",), Told(), network="regression")
    assert translations(lab, plain, 1) == ((1, tmp_path / "phase2-1" / "unet"), "visible")


def test_scores_are_one_number_a_scene(monkeypatch):
    truth = np.random.default_rng(0).integers(0, 255, (3, 16, 16)).astype(np.uint8)
    found = scores(np.stack([truth[0] // 2, truth[1], 255 - truth[2]]), truth)
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(answers.METRICS, (3,))
    assert found["ssim"][1] == pytest.approx(1) and found["ssim"][0] < 0.9
    assert found["psnr_aligned"][2] > 40 > 10 > found["psnr"][2], "inverted: the best gain is negative"
    assert fd_tiny(truth, truth) is None, "three pictures have no distribution"
