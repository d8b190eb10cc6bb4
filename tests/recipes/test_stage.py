"""The training loop of all stages: exact resume, averaging, learning rate, bad losses, half-precision folders."""

import os
import signal
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from v2ir_lib.errors import UserError
from v2ir_lib.recipes.__main__ import is_complete, run_stages
from v2ir_lib.recipes.stage import Average, Run, Stage, key, learning_rate_at, save_half, seed_everything, train


def run_in(folder, **settings) -> Run:
    return Run(models=folder / "models", results=folder / "results", work=folder / "work", device="cpu", **settings)


def small_stage(run: Run, kill_at: int | None = None, poison_at: int | None = None, steps: int = 12) -> Stage:
    """A network with dropout, so that the global generator matters too, and noise in its data."""
    seed_everything(run.seed, "small")
    model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.3), nn.Linear(16, 1))

    def loss(step, generator):
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGTERM)
        x = torch.randn(5, 4, generator=generator)
        error = (model(x) - x.sum(1, keepdim=True)).square().mean()
        return error * (float("nan") if step == poison_at else 1.0), {"error": error}

    def finish(out):
        out.mkdir(parents=True, exist_ok=True)
        save_file(model.state_dict(), out / "small.safetensors")

    return Stage("small", model, loss, finish, steps, 5, 1e-2, warmup_steps=3, ema_decay=0.9)


def test_an_interrupted_run_ends_with_the_same_bytes(tmp_path):
    whole, halves = run_in(tmp_path / "whole"), run_in(tmp_path / "halves")
    record = train(small_stage(whole), whole)
    with pytest.raises(KeyboardInterrupt, match="saved at step 6 of 12"):
        train(small_stage(halves, kill_at=5), halves)
    assert not (halves.models / "small.safetensors").exists()
    again = train(small_stage(halves), halves)
    assert (whole.models / "small.safetensors").read_bytes() == (halves.models / "small.safetensors").read_bytes()
    assert record["curve"] == again["curve"] and len(record["curve"]) == 12
    assert not list(halves.work.rglob("*.safetensors"))  # the checkpoint is gone once the result is there


def test_another_seed_gives_other_bytes(tmp_path):
    first, second = run_in(tmp_path / "a", seed=1), run_in(tmp_path / "b", seed=2)
    train(small_stage(first), first)
    train(small_stage(second), second)
    assert (first.models / "small.safetensors").read_bytes() != (second.models / "small.safetensors").read_bytes()


def test_a_loss_that_is_no_number_stops_with_one_line(tmp_path):
    run = run_in(tmp_path)
    with pytest.raises(UserError, match="small: the loss became nan at step 4"):
        train(small_stage(run, poison_at=4), run)
    assert not run.models.exists() and not (run.results / "recipes").exists()


def test_other_settings_do_not_continue_a_checkpoint(tmp_path, capsys):
    run = run_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(small_stage(run, kill_at=5), run)
    train(small_stage(run, steps=9), run)
    assert "goes on" not in capsys.readouterr().out
    train(small_stage(run), run)
    assert "goes on from step 6" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_named(tmp_path):
    run = run_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(small_stage(run, kill_at=5), run)
    (checkpoint,) = run.work.rglob("*.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(UserError, match="cannot be read"):
        train(small_stage(run), run)


def test_complete_stages_are_skipped(tmp_path, monkeypatch):
    run, calls = run_in(tmp_path), []

    def stage(run):
        calls.append(1)
        train(small_stage(run), run)

    monkeypatch.setattr("v2ir_lib.recipes.stage.small", stage, raising=False)
    monkeypatch.setattr("v2ir_lib.recipes.__main__.STAGES", {"small": "v2ir_lib.recipes.stage:small"})
    run_stages([], run)
    run_stages([], run)
    assert len(calls) == 1 and is_complete("small", run)
    run_stages(["small"], run, again=True)
    assert len(calls) == 2
    run.steps = 3  # fewer than the stage's own: recorded, but never taken for the whole
    run_stages([], run)
    run.steps = None
    assert len(calls) == 3 and not is_complete("small", run)
    with pytest.raises(UserError, match="no stage 'big'"):
        run_stages(["big"], run)


def test_average_is_the_warmed_up_exponential_mean():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average, expected = Average(model, decay=0.3), 1.0
    for step, value in enumerate((2.0, -1.0, 5.0, 0.5), start=1):
        nn.init.constant_(model.weight, value)
        average.update(model)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    average.copy_to(model)
    assert model.weight.item() == pytest.approx(expected, rel=1e-6)


def test_learning_rate_warms_up_and_falls():
    stage = Stage("x", nn.Linear(1, 1), None, None, 1000, 1, 2.0, warmup_steps=50)
    rates = [learning_rate_at(step, stage, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(2 / 51) and max(rates) == pytest.approx(2.0) and rates.index(max(rates)) == 50
    assert all(a > b for a, b in pairwise(rates[50:])) and rates[-1] == pytest.approx(0.04, abs=1e-3)
    stage.schedule = "constant"
    assert learning_rate_at(999, stage, 1000) == 2.0


def test_key_is_fixed_for_all_time():
    assert key(0, "base", 7) == 0x648AD319BDF289A9
    assert key(0, "base", 7) != key(0, "base", 8) != key(1, "base", 8)


def test_half_precision_folder_holds_the_rounded_weights(tmp_path):
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(8,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
        layers_per_block=1, norm_num_groups=4, cross_attention_dim=8, attention_head_dim=2,
    )  # fmt: skip
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    save_half(unet, tmp_path / "unet")
    stored = load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
    assert all(tensor.dtype == torch.float16 for tensor in stored.values())
    assert all(torch.equal(stored[name], tensor.half()) for name, tensor in before.items())
    assert all(torch.equal(unet.state_dict()[name], tensor) for name, tensor in before.items())
    with torch.no_grad():
        unet.conv_in.bias[0] = 1e6
    with pytest.raises(UserError, match="too large for fp16"):
        save_half(unet, tmp_path / "unet")
    assert set(load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")) == set(stored)  # the old one stays
