"""Widening leaves the base model's function alone, and so does LoRA until it has learnt; the base is never touched."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from v2ir_lib.diffusion.components import load_unet
from v2ir_lib.diffusion.lora import add_lora, base_hash, beside_lora, load_lora, merge_lora, save_lora
from v2ir_lib.diffusion.widening import unet_input, widen
from v2ir_lib.errors import UserError


@pytest.fixture
def base():
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=6,
        norm_num_groups=4,
    ).eval()


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(1)
    z, visible, segments = (torch.randn(2, 4, 8, 8, generator=draw) for _ in range(3))
    return z, visible, segments, torch.randn(2, 5, 6, generator=draw)


@torch.no_grad()
def run(unet, x, text):
    return unet(x, torch.tensor(321.5), encoder_hidden_states=text).sample


def test_widened_and_zeroed_equals_base(base, batch):
    z, visible, segments, text = batch
    wide = widen(base)
    assert wide.conv_in.weight.shape == (8, 12, 3, 3) and wide.config.in_channels == 12
    torch.testing.assert_close(run(wide, unet_input(z, visible, segments), text), run(base, z, text), rtol=0, atol=1e-6)
    assert base.conv_in.weight.shape[1] == 4, "the base is left alone"
    with torch.no_grad():
        wide.conv_in.weight[:, 4:8] = 0.1
    assert (run(wide, unet_input(z, visible, segments), text) - run(base, z, text)).abs().max() > 1e-3


def test_widened_saves_and_loads(base, batch, tmp_path):
    z, visible, segments, text = batch
    wide = widen(base)
    wide.save_pretrained(tmp_path)
    again = load_unet(tmp_path)
    twelve = unet_input(z, visible, segments)
    assert torch.equal(run(again, twelve, text), run(wide, twelve, text))


def learnt(base):
    """LoRA as if phase 1 had run."""
    before = base_hash(base)
    trained = add_lora(base, rank=2)
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
    return before


def test_lora_starts_at_nothing_and_trains_only_itself(base, batch):
    z, *_, text = batch
    plain = run(base, z, text)
    trained = add_lora(base, rank=2)
    torch.testing.assert_close(run(base, z, text), plain, rtol=0, atol=1e-6)
    names = [name for name, parameter in base.named_parameters() if parameter.requires_grad]
    assert len(trained) == len(names) > 0 and all("lora_" in name for name in names)


def test_lora_leaves_the_base_untouched(base):
    assert learnt(base) == base_hash(base)


def test_the_hash_would_notice(base):
    before = base_hash(base)
    with torch.no_grad():
        base.conv_out.bias[0] += 1e-6
    assert base_hash(base) != before


def test_lora_round_trip_and_merge(base, batch, tmp_path):
    z, *_, text = batch
    base.save_pretrained(tmp_path / "base")
    plain = run(base, z, text)
    learnt(base)
    adapted = run(base, z, text)
    assert (adapted - plain).abs().max() > 1e-3
    save_lora(base, tmp_path / "lora")
    again = load_lora(load_unet(tmp_path / "base"), tmp_path / "lora")
    assert torch.equal(run(again, z, text), adapted)

    merged = merge_lora(base)
    torch.testing.assert_close(run(merged, z, text), adapted, rtol=1e-4, atol=1e-5)
    assert all(parameter.requires_grad for parameter in merged.parameters()), "phase 2 trains them all"
    merged.save_pretrained(tmp_path / "merged")
    assert torch.equal(run(load_unet(tmp_path / "merged"), z, text), run(merged, z, text))


def test_lora_that_is_not_there(base, tmp_path):
    with pytest.raises(UserError, match="missing"):
        load_lora(base, tmp_path)


def test_what_trains_beside_lora_is_kept_with_it(base, batch, tmp_path):
    z, visible, segments, text = batch
    twelve = unet_input(z, visible, segments)
    wide = widen(base)
    wide.save_pretrained(tmp_path / "base")
    before = learnt(wide)
    assert beside_lora(wide) == {}
    wide.conv_in.requires_grad_(True)
    with torch.no_grad():
        wide.conv_in.weight += 0.1
    assert beside_lora(wide).keys() == {"conv_in.weight", "conv_in.bias"}
    assert base_hash(wide) != before, "the first convolution is no part of LoRA"
    again = load_unet(tmp_path / "base")
    assert base_hash(wide, beside_lora(wide)) == base_hash(again, {"conv_in.weight", "conv_in.bias"})
    save_lora(wide, tmp_path / "lora")
    assert torch.equal(run(load_lora(again, tmp_path / "lora"), twelve, text), run(wide, twelve, text))
    with pytest.raises(UserError, match=r"conv_in.weight is \(8, 4, 3, 3\), not \(8, 12, 3, 3\)"):
        load_lora(base, tmp_path / "lora")
