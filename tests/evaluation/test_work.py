"""Operations counted without numbers: by hand on one layer, and the committed ones are what is counted today."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from v2ir_lib.evaluation.work import blip_base, count, count_encoder, count_prompt, count_unet, latent_side
from v2ir_lib.files import repo_root
from v2ir_lib.profiles import FULL, TINY

COMMITTED = json.loads((repo_root() / "results" / "full_work.json").read_text())["operations"]


def test_a_layer_by_hand():
    def run(layer):
        return layer(torch.randn(5, 30))

    forward = count(lambda: nn.Linear(30, 20, bias=False), run)
    assert forward == 2 * 5 * 30 * 20
    assert count(lambda: nn.Linear(30, 20, bias=False), run, backward=True) == 2 * forward, "no gradient of the input"
    convolution = count(lambda: nn.Conv2d(3, 8, 3, padding=1, bias=False), lambda c: c(torch.randn(1, 3, 10, 10)))
    assert convolution == 2 * 8 * 3 * 9 * 100


def test_frozen_weights_cost_less_and_are_not_free():
    shallow = dict(
        block_out_channels=(48, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    profile = replace(TINY, unet=TINY.unet | shallow)
    plain, lora = (count_unet(profile, channels=4, backward=True, lora_rank=rank) for rank in (0, 8))
    forward = count_unet(profile, channels=4)
    assert 1.9 * forward < lora < 0.8 * plain and 2.8 * forward < plain < 3.1 * forward


def test_the_committed_counts_are_todays():
    """The two that are quick to count; the shapes of all parts are held elsewhere (test_full.py)."""
    assert count_encoder(FULL) == COMMITTED["encode"] and count_prompt(FULL) == COMMITTED["prompt"]


def test_the_committed_counts_fit_together():
    assert COMMITTED["unet_training"] == pytest.approx(3 * COMMITTED["unet_forward"], rel=0.02)
    assert 2 * COMMITTED["unet_forward"] < COMMITTED["lora_training"] < COMMITTED["unet_training"]
    assert COMMITTED["encode"] < COMMITTED["decode"] < COMMITTED["segments"]
    assert COMMITTED["prompt"] < COMMITTED["caption"] < COMMITTED["segments"]


def test_blip_base_is_the_published_one():
    vision, text = blip_base().vision_config, blip_base().text_config
    assert (vision.image_size, vision.patch_size, vision.hidden_size, vision.num_hidden_layers) == (384, 16, 768, 12)
    assert (text.vocab_size, text.hidden_size, text.num_hidden_layers) == (30524, 768, 12)


def test_sides_of_latents():
    assert (latent_side(TINY), latent_side(FULL)) == (24, 32)
