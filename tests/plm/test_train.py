"""The loop: Eq. 1 falls, exactly the named parameters change, and a killed run ends in the bytes of a whole one."""

import numpy as np
import pytest
import torch
from small_runs import small_data, small_phase, small_unet

from v2ir_lib.diffusion.lora import add_lora, base_hash
from v2ir_lib.diffusion.noising import min_snr_weights
from v2ir_lib.errors import UserError
from v2ir_lib.plm.average import Average
from v2ir_lib.plm.cache import weights_fingerprint
from v2ir_lib.plm.checkpoint import checkpoints
from v2ir_lib.plm.draws import Batch, draw_batch
from v2ir_lib.plm.loss import Loss
from v2ir_lib.plm.optimiser import make_optimiser
from v2ir_lib.plm.train import train, trained_weights

NULL_TEXT = torch.zeros(1, 7, 32)


def run(folder, name="phase2", seed=0, unet=None, data=None, **settings):
    """Train a small UNet; the UNet and the progress."""
    until = settings.pop("until", None)
    after_step = settings.pop("after_step", None)
    phase = small_phase(name, **settings)
    unet = small_unet(phase.in_channels) if unet is None else unet
    data = small_data(phase) if data is None else data
    loss = Loss(phase, 0.7, NULL_TEXT)
    return unet, train(unet, phase, data, loss, seed=seed, folder=folder, until=until, after_step=after_step)


class Answer(torch.nn.Module):
    """Stands for the UNet: remembers what it was asked and answers `eps`, or nought."""

    def __init__(self, eps):
        super().__init__()
        self.eps = eps

    def forward(self, x, t, encoder_hidden_states):
        self.asked = (x, t, encoder_hidden_states)
        return type("Output", (), {"sample": self.eps})


def test_loss_is_equation_1_on_a_batch_worked_out_by_hand():
    phase = small_phase("phase2")
    batch = draw_batch(small_data(phase), phase, seed=0, step=0)
    batch = Batch(**(vars(batch) | {"dropout": torch.full((4,), 0.999)}))  # beyond the seven bins: nothing is dropped
    unet = Answer(batch.eps)
    assert Loss(phase, 0.7, NULL_TEXT)(unet, batch) == 0
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alpha_bar = torch.tensor(np.cumprod(1 - betas)[batch.timesteps], dtype=torch.float32).reshape(-1, 1, 1, 1)
    mean, logvar = batch.infrared.chunk(2, dim=1)
    z_0 = 0.7 * (mean + (logvar / 2).exp() * batch.posterior_noise)
    x, _, text = unet.asked
    torch.testing.assert_close(x[:, :4], alpha_bar.sqrt() * z_0 + (1 - alpha_bar).sqrt() * batch.eps)
    assert torch.equal(x[:, 4:8], batch.visible) and torch.equal(x[:, 8:], batch.segments)  # unscaled, never noised
    assert torch.equal(text, batch.text)
    zero = Loss(phase, 0.7, NULL_TEXT)(Answer(torch.zeros_like(batch.eps)), batch)
    assert zero == pytest.approx(float(batch.eps.square().mean()))


def test_a_network_that_is_asked_for_v_is_judged_by_v():
    phase = small_phase("phase2", prediction="v_prediction")
    batch = draw_batch(small_data(phase), phase, seed=0, step=0)
    loss = Loss(phase, 0.7, NULL_TEXT)
    alpha_bar = loss.alpha_bar[batch.timesteps].reshape(-1, 1, 1, 1)
    mean, logvar = batch.infrared.chunk(2, dim=1)
    z_0 = 0.7 * (mean + (logvar / 2).exp() * batch.posterior_noise)
    v = alpha_bar.sqrt() * batch.eps - (1 - alpha_bar).sqrt() * z_0
    assert float(loss(Answer(v), batch)) < 1e-10 < 0.1 < float(loss(Answer(batch.eps), batch))


def test_the_loss_is_weighted_where_the_phase_asks_for_it():
    phase = small_phase("phase2", snr_gamma=2.0)
    batch = draw_batch(small_data(phase), phase, seed=0, step=0)
    batch = Batch(**(vars(batch) | {"timesteps": torch.tensor([20, 100, 500, 900])}))
    loss = Loss(phase, 0.7, NULL_TEXT)
    weights = min_snr_weights(loss.alpha_bar[batch.timesteps], 2.0)
    assert weights[0] < 0.1 < weights[2] == weights[3] == 1
    expected = (weights * batch.eps.square().mean(dim=(1, 2, 3))).mean()
    assert float(loss(Answer(torch.zeros_like(batch.eps)), batch)) == pytest.approx(float(expected))


def test_the_first_convolution_learns_faster_where_the_phase_asks_for_it():
    """AdamW's first step moves every weight that has a gradient by its learning rate."""
    unet = small_unet(12)
    before = {name: weight.clone() for name, weight in trained_weights(unet).items()}
    whole = small_phase("phase2", steps=1, warmup_steps=0, learning_rate=1e-4, first_rate=10.0)
    optimiser = make_optimiser(trained_weights(unet), whole.settings)
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(before)
    batch = draw_batch(small_data(whole), whole, seed=0, step=0)
    Loss(whole, 0.7, NULL_TEXT)(unet, batch).backward()
    optimiser.step()
    moved = {name: float((w.detach() - before[name]).abs().median()) for name, w in trained_weights(unet).items()}
    assert moved["conv_in.weight"] == pytest.approx(1e-3, rel=0.05)
    assert moved["conv_out.weight"] == pytest.approx(1e-4, rel=0.05)


def test_dropped_conditions_are_zero_latents_and_the_null_text():
    phase = small_phase("phase2")
    batch = draw_batch(small_data(phase), phase, seed=0, step=0)
    u = phase.dropout
    batch = Batch(**(vars(batch) | {"dropout": torch.tensor([0.5, 2.5, 5.5, 6.5]) * u}))  # T; T, V, S; V; S
    unet = Answer(batch.eps)
    Loss(phase, 0.7, NULL_TEXT)(unet, batch)
    x, _, text = unet.asked
    gone = [[bool((part[i] == 0).all()) for part in (text, x[:, 4:8], x[:, 8:])] for i in range(4)]
    assert gone == [[True, False, False], [True, True, True], [False, True, False], [False, False, True]]


def test_the_paper_s_dropout_is_one_setting_away():
    """At u = 1/4 its four cases are all there is, and none has exactly one condition missing."""
    from dataclasses import replace

    phase = replace(small_phase("phase2", batch_size=64, dropout_scheme="paper"), dropout=0.25)
    batch = draw_batch(small_data(phase), phase, seed=0, step=0)
    given = Loss(phase, 0.7, NULL_TEXT).dropped(batch)
    gone = torch.stack([(part == 0).flatten(1).all(1) for part in (given.text, given.visible, given.segments)])
    assert sorted(gone.sum(0).unique().tolist()) == [2, 3]


@pytest.mark.parametrize("name", ["phase1", "phase2"])
def test_gradient_checkpointing_keeps_less_and_gives_the_same_gradients(name):
    phase = small_phase(name)
    batch, found = draw_batch(small_data(phase), phase, seed=0, step=0), []
    for checkpointing in (False, True):
        unet = small_unet(phase.in_channels).train()
        if name == "phase1":
            torch.manual_seed(1)
            for matrix in add_lora(unet, rank=2):
                torch.nn.init.normal_(matrix)  # B is zero at first, and then A has no gradient
        if checkpointing:
            unet.enable_gradient_checkpointing()
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, kept=kept: (kept.append(x.numel()), x)[1], lambda x: x):
            loss = Loss(phase, 0.7, NULL_TEXT)(unet, batch)
        numbers = sum(kept)
        loss.backward()
        found.append((numbers, {n: weight.grad for n, weight in trained_weights(unet).items()}))
    (usual, one), (less, other) = found
    assert less < 0.7 * usual
    assert all(float(gradient.abs().max()) > 0 for gradient in one.values())
    torch.testing.assert_close(other, one)


def test_one_step_lowers_the_loss_of_the_same_batch(tmp_path):
    phase = small_phase("phase2")
    data, unet, loss = small_data(phase), small_unet(12), Loss(phase, 0.7, NULL_TEXT)
    batch = draw_batch(data, phase, seed=0, step=0)
    before = float(loss(unet, batch).detach())
    run(tmp_path, unet=unet, data=data, until=1, learning_rate=1e-3, warmup_steps=0)
    assert float(loss(unet, batch).detach()) < before - 1e-4


@pytest.mark.parametrize("name", ["phase1", "phase2"])
def test_killed_and_resumed_ends_in_the_same_bytes(tmp_path, name):
    def fresh():
        unet = small_unet(4 if name == "phase1" else 12)
        if name == "phase1":
            torch.manual_seed(1)
            add_lora(unet, rank=2)
        return unet

    whole, straight = run(tmp_path / "whole", name, unet=fresh())
    run(tmp_path / "parts", name, unet=fresh(), until=2)  # a process that dies after a checkpoint at step 2
    run(tmp_path / "parts", name, unet=fresh(), until=5)
    resumed, pieces = run(tmp_path / "parts", name, unet=fresh())
    assert weights_fingerprint(whole) == weights_fingerprint(resumed)
    assert straight.losses == pieces.losses and len(straight.losses) == 6
    ends = [(checkpoints(tmp_path / part)[-1] / "state.safetensors").read_bytes() for part in ("whole", "parts")]
    assert ends[0] == ends[1]  # the optimiser's moments and the average too
    other, _ = run(tmp_path / "other", name, seed=1, unet=fresh())
    assert weights_fingerprint(other) != weights_fingerprint(whole)


def test_ctrl_c_saves_the_whole_step_and_the_run_goes_on(tmp_path):
    import os
    import signal

    def interrupt(progress):
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt, match="saved at step 3"):
        run(tmp_path / "cut", after_step=interrupt)
    assert [path.name for path in checkpoints(tmp_path / "cut")] == ["00000003"]
    cut, _ = run(tmp_path / "cut")
    whole, _ = run(tmp_path / "whole")
    assert weights_fingerprint(cut) == weights_fingerprint(whole)


def test_phase_1_trains_lora_alone_and_leaves_the_base_untouched(tmp_path):
    unet = small_unet(4)
    untouched = base_hash(unet)
    add_lora(unet, rank=2)
    names = set(trained_weights(unet))
    assert names and all("lora_" in name for name in names)
    before = {name: weight.detach().clone() for name, weight in trained_weights(unet).items()}
    _, progress = run(tmp_path, "phase1", unet=unet, learning_rate=1e-2)
    assert base_hash(unet) == untouched
    assert all(not torch.equal(before[name], weight) for name, weight in trained_weights(unet).items())
    assert progress.trained_parameters == sum(weight.numel() for weight in before.values())


def test_phase_2_trains_every_parameter_of_the_unet(tmp_path):
    unet = small_unet(12)
    before = {name: weight.detach().clone() for name, weight in unet.named_parameters()}
    _, progress = run(tmp_path, unet=unet)
    assert [name for name, weight in unet.named_parameters() if torch.equal(before[name], weight)] == []
    assert progress.trained_parameters == sum(weight.numel() for weight in unet.parameters())


def test_what_is_left_in_the_unet_is_the_average(tmp_path):
    unet, _ = run(tmp_path, learning_rate=1e-2)
    from v2ir_lib.plm.checkpoint import load_newest

    tensors, _ = load_newest(tmp_path)
    name = "conv_in.weight"
    assert torch.equal(unet.conv_in.weight, tensors[f"average/{name}"])
    assert not torch.equal(tensors[f"average/{name}"], tensors[f"weights/{name}"])


def test_average_warms_up():
    weight = torch.nn.Parameter(torch.zeros(1))
    average = Average({"w": weight}, decay=0.9)
    with torch.no_grad():
        weight.fill_(1)
    average.update({"w": weight}, step=1)
    assert average.values["w"].item() == pytest.approx(1 - 2 / 11)  # d = (1 + 1) / (10 + 1), not yet 0.9
    before = average.values["w"].item()
    average.update({"w": weight}, step=1000)
    assert 1 - average.values["w"].item() == pytest.approx(0.9 * (1 - before), abs=1e-6)


def test_nan_stops_the_run_and_keeps_the_last_checkpoint(tmp_path):
    run(tmp_path, until=3)
    kept = (checkpoints(tmp_path)[-1] / "state.safetensors").read_bytes()
    phase = small_phase("phase2")
    data = small_data(phase)
    data.infrared[:, :, :, 0] = np.inf
    with pytest.raises(UserError, match="loss became nan at step 3"):
        run(tmp_path, data=data)
    assert (checkpoints(tmp_path)[-1] / "state.safetensors").read_bytes() == kept


def test_a_folder_of_another_run_is_refused(tmp_path):
    run(tmp_path, until=2)
    with pytest.raises(UserError, match=r"seed 0, not 1"):
        run(tmp_path, seed=1)
    with pytest.raises(UserError, match="settings"):
        run(tmp_path, learning_rate=0.5)
    with pytest.raises(UserError, match="began_with"):
        run(tmp_path, unet=small_unet(12, seed=9))
