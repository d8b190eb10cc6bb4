"""Memory against numbers worked out by hand, and against what autograd really keeps."""

import dataclasses
import json

import pytest
import torch
from compvis import SMALL
from diffusers import UNet2DConditionModel
from torch import nn

from v2ir_lib.diffusion import memory
from v2ir_lib.diffusion.memory import LADDER, Way, largest_batch, of_parameters, of_phase, table, way_down
from v2ir_lib.diffusion.saved import count_saved
from v2ir_lib.profiles import FULL

TINIER = SMALL.unet | dict(
    block_out_channels=(16, 32),
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    layers_per_block=1,
)
PROFILE = dataclasses.replace(SMALL, unet=TINIER)
N = 859_544_004


# --- weights, gradients, moments ---------------------------------------------------------------------------------


def test_adamw_takes_sixteen_bytes_a_parameter():
    """Weight, gradient and two moments of 4 bytes each: 13.75 GB for Stable Diffusion's UNet."""
    found = of_parameters(N, N, Way(average=False))
    assert found.weights + found.gradients + found.moments == 16 * N == 13_752_704_064
    assert found.average == found.copies == found.activations == 0
    assert found.total == 16 * N + 4 * N + 1_000_000_000, "AdamW's intermediate values on top"


def test_the_average_takes_four_more():
    assert of_parameters(N, N, Way()).total - of_parameters(N, N, Way(average=False)).total == 4 * N


def test_eight_bit_moments():
    """256 numbers in one byte each and a float for all of them, twice; 257 numbers need two floats."""
    assert of_parameters(256, 256, Way(adam_bits=8)).moments == 2 * (256 + 4)
    assert of_parameters(257, 257, Way(adam_bits=8)).moments == 2 * (257 + 8)
    saved = of_parameters(N, N, Way()).moments - of_parameters(N, N, Way(adam_bits=8)).moments
    assert saved == pytest.approx(5.13e9, rel=1e-3)


def test_what_is_frozen_has_weights_only():
    found = of_parameters(1000, 10, Way(mixed=True), activations=7000)
    assert (found.weights, found.gradients, found.moments, found.average) == (4000, 40, 80, 40)
    assert found.copies == 2000
    assert found.total == 4000 + 40 + 80 + 40 + (2000 + 7000) + memory.OVERHEAD


def test_activations_and_update_do_not_meet():
    small, large = (of_parameters(1000, 1000, Way(), activations=size) for size in (3999, 4001))
    assert large.total - small.total == 1, "4000 bytes of update until activations are more"


# --- activations -------------------------------------------------------------------------------------------------


def two_layers():
    return nn.Sequential(nn.Linear(10, 30), nn.SiLU(), nn.Linear(30, 20))


def test_saved_by_hand():
    """The first layer keeps its input (10), SiLU its own (30), the second its own (30), as floats; weights are not
    counted. ReLU keeps its answer, which is the next layer's input: once."""
    run = lambda module: module(torch.randn(5, 10))  # noqa: E731
    assert count_saved(two_layers, run).total == 5 * (10 + 30 + 30) * 4

    def relu():
        return nn.Sequential(nn.Linear(10, 30), nn.ReLU(), nn.Linear(30, 20))

    assert count_saved(relu, run).total == 5 * (10 + 30) * 4


def test_saved_under_autocast_by_hand():
    """All in two bytes; and the second layer's weight, through which the gradient goes, as a copy (30 · 20)."""
    run = lambda module: module(torch.randn(5, 10))  # noqa: E731
    assert count_saved(two_layers, run, mixed=True).total == 5 * (10 + 30 + 30) * 2 + 600 * 2
    assert not torch.is_autocast_enabled("cuda"), "switched back"


def test_attention_keeps_no_matrix_of_pairs():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.make = nn.Linear(8, 24)

        def forward(self, x):
            query, key, value = self.make(x).unflatten(-1, (3, 1, 8)).movedim(-3, 0)
            return nn.functional.scaled_dot_product_attention(*(part.transpose(1, 2) for part in (query, key, value)))

    run = lambda module: module(torch.randn(1, 1000, 8))  # noqa: E731
    #                          input, q k v (views of one), answer, one float a row
    assert count_saved(Attention, run).total == 1000 * (8 + 24 + 8 + 1) * 4


def test_the_largest_unit():
    assert count_saved(two_layers, lambda m: m(torch.randn(5, 10)), units=(nn.Linear,)).largest_unit == 5 * 30 * 4


def really_kept(unet, batch: int) -> int:
    """On this machine's CPU, with real numbers."""
    own = {parameter.untyped_storage().data_ptr() for parameter in unet.parameters()}
    kept = {}

    def keep(value):
        kept[value.untyped_storage().data_ptr()] = value
        return value

    draw = torch.Generator().manual_seed(0)
    z, text = torch.randn(batch, 12, 32, 32, generator=draw), torch.randn(batch, 77, 24, generator=draw)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        unet(z, torch.zeros(batch, dtype=torch.long), encoder_hidden_states=text)
    return sum(value.untyped_storage().nbytes() for place, value in kept.items() if place not in own)


def test_a_unets_activations_are_what_autograd_keeps():
    batch = 2
    unet = UNet2DConditionModel.from_config(TINIER | {"in_channels": 12}).train()
    counted = of_phase(PROFILE, "phase2", batch, Way()).activations
    assert counted == pytest.approx(really_kept(unet, batch), rel=0.005)
    assert of_phase(PROFILE, "phase2", 3 * batch, Way()).activations == 3 * counted
    unet.enable_gradient_checkpointing()
    between = really_kept(unet, batch)
    checkpointed = of_phase(PROFILE, "phase2", batch, Way(checkpointing=True)).activations
    assert between < checkpointed < 0.7 * counted, "and once all of the largest block"


# --- phases ------------------------------------------------------------------------------------------------------


def test_lora_trains_little():
    """Rank · (in + out) for each projection of attention; in phases 2 and 3 the first convolution: 12 · 16 · 9 + 16."""
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(TINIER)
    ends = ("to_q", "to_k", "to_v", "to_out.0")
    layers = [part for name, part in unet.named_modules() if name.endswith(ends)]
    expected = sum(PROFILE.phase1.lora_rank * (part.in_features + part.out_features) for part in layers)
    assert len(layers) > 0
    assert of_phase(PROFILE, "phase1", 1, Way()).gradients == 4 * expected
    rank = PROFILE.phase1.lora_rank
    assert of_phase(PROFILE, "phase2", 1, Way(lora_rank=rank)).gradients == 4 * (expected + 12 * 16 * 9 + 16)


def test_the_full_phases():
    whole = of_phase(FULL, "phase2", 1, Way())
    assert (whole.weights, whole.gradients, whole.moments, whole.average) == (4 * N, 4 * N, 8 * N, 4 * N)
    assert 0.3e9 < whole.activations < 0.7e9
    assert whole.total / 1e9 == pytest.approx(21.63, abs=0.01)


def test_the_largest_batch_fits_and_one_more_does_not():
    for way in (Way(), Way(mixed=True, checkpointing=True)):
        batch = largest_batch(PROFILE, "phase2", way, 1.3)
        totals = [of_phase(PROFILE, "phase2", size, way).total for size in (batch, batch + 1)]
        assert totals[0] <= 0.9 * 1.3e9 < totals[1]
    assert largest_batch(PROFILE, "phase2", Way(), 1.0) == 0


def test_the_way_down_is_the_plainest_that_fits(monkeypatch):
    sizes = {way: 1000 >> step for step, way in enumerate(LADDER)}
    monkeypatch.setattr(memory, "largest_batch", lambda _profile, _phase, way, card: int(card // sizes[way]))
    assert way_down(PROFILE, "phase2", 4000) == (LADDER[0], 4)
    assert way_down(PROFILE, "phase2", 1000) == (LADDER[2], 4)
    assert way_down(PROFILE, "phase2", 20) == (LADDER[6], 1), "fewer than wanted, where none fits more"
    assert way_down(PROFILE, "phase2", 10) is None


def test_each_way_has_its_switches():
    assert [way.switches for way in LADDER[:2]] == [[], ["--mixed-precision bf16"]]
    assert LADDER[-1].switches == ["--mixed-precision bf16", "--gradient-checkpointing", "--lora 16"]
    assert Way(adam_bits=8, average=False).switches == ["--optimizer adamw8bit", "--ema-on-cpu"]
    assert len({tuple(way.switches) for way in LADDER}) == len(LADDER)


def test_the_table(monkeypatch):
    monkeypatch.setattr(memory, "LADDER", (Way(), Way(mixed=True), Way(mixed=True, lora_rank=2)))
    made = json.loads(json.dumps(table(PROFILE, batches=(1, 8))))
    assert made["basis"] == "computed"
    assert len(made["rows"]) == 2 * (2 + 3 + 3), "LoRA trains in phase 1 whatever the way"
    row = next(row for row in made["rows"] if row["phase"] == "phase2" and row["batch"] == 8 and not row["switches"])
    assert row["total"] == round(of_phase(PROFILE, "phase2", 8, Way()).total / 1e9, 2)
    assert {(entry["card_gb"], entry["phase"]) for entry in made["ways_down"]} >= {(12, "phase2"), (80, "phase1")}
