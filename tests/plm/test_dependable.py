"""Whatever stops a run, it goes on from the last good checkpoint and ends in the bytes of an uninterrupted one."""

import importlib.util
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from small_runs import small_data, small_phase, small_unet

from v2ir_lib.errors import UserError
from v2ir_lib.files import repo_root
from v2ir_lib.plm import checkpoint
from v2ir_lib.plm.checkpoint import FACTS, TENSORS, checkpoints
from v2ir_lib.plm.draws import epoch_order
from v2ir_lib.plm.loss import Loss
from v2ir_lib.plm.train import train

STEPS = 5


def run(folder: Path, data=None, between: float = 0.0, **more) -> bytes:
    """A training that saves after every step; the bytes of its last checkpoint."""
    phase = small_phase("phase2", steps=STEPS)
    data = small_data(phase) if data is None else data
    loss, unet = Loss(phase, 0.7, torch.zeros(1, 7, 32)), small_unet(phase.in_channels)
    train(unet, phase, data, loss, seed=0, folder=folder, seconds_between_checkpoints=between, **more)
    return (checkpoints(folder)[-1] / TENSORS).read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """What an uninterrupted run ends in."""
    return run(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("kill_and_resume", repo_root() / "scripts" / "kill_and_resume.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_killed_at_random_moments_and_once_in_a_save(script, tmp_path):
    """SIGKILL in three processes one after the other, the second of them while it writes a checkpoint."""
    moments = np.random.default_rng()  # new ones each time: any moment must do
    uninterrupted = script.finish(tmp_path / "whole")
    folder = tmp_path / "killed"
    folder.mkdir()
    steps = sorted(int(step) for step in moments.choice(np.arange(1, script.STEPS), 3, replace=False))
    for step, in_save in zip(steps, (False, True, False), strict=True):
        script.killed(folder, step, float(moments.uniform(0, 0.05)), in_save)
        if in_save:
            assert not (folder / f"{step:08d}").exists() and list(folder.glob(f".{step:08d}.*.tmp")), "it was in a save"
            assert not list((folder).glob(f".{step:08d}.*.tmp/{FACTS}"))
    assert script.finish(folder) == uninterrupted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_first(tmp_path, whole, number):
    def interrupt(progress):
        if progress.step == 3:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt, match="saved at step 3; the same command goes on"):
        run(tmp_path, between=1000, after_step=interrupt)
    assert [path.name for path in checkpoints(tmp_path)] == ["00000003"]
    assert run(tmp_path) == whole


def test_a_full_disk(tmp_path, whole, monkeypatch):
    """The words are safetensors' own, of a disk that was really full."""
    truly, calls = checkpoint.save_file, []

    def full(tensors, path):
        calls.append(path)
        if len(calls) == 3:
            Path(path).write_bytes(b"half of it")
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        truly(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(UserError, match=r"^cannot write .*: the disk is full; free some space") as told:
        run(tmp_path)
    assert "\n" not in str(told.value)
    assert [path.name for path in tmp_path.iterdir() if path.name[0] == "."] == []
    assert checkpoint.load_newest(tmp_path)[1]["step"] == 2
    assert run(tmp_path) == whole


def test_a_loss_that_is_not_a_number(tmp_path, whole):
    phase = small_phase("phase2", steps=STEPS)
    bad = small_data(phase)
    fifth = int(epoch_order(0, "phase2", 0, bad.scenes)[4])  # the one that the first batch of four has not
    bad.infrared[fifth, ..., 0, 0, 0] = np.nan
    with pytest.raises(UserError, match=r"^phase2: the loss became nan at step 1; lower the learning rate") as told:
        run(tmp_path, data=bad)
    assert "\n" not in str(told.value)
    tensors, facts = checkpoint.load_newest(tmp_path)
    assert facts["step"] == 1 and all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert run(tmp_path) == whole


@pytest.mark.parametrize("damage", ["cut", "one bit", "no facts"])
def test_a_corrupt_checkpoint(tmp_path, whole, damage, capsys):
    run(tmp_path, until=3)
    newest = checkpoints(tmp_path)[-1]
    raw = bytearray((newest / TENSORS).read_bytes())
    raw[-1] ^= 1
    if damage == "no facts":
        (newest / FACTS).write_text("{}")
    else:
        (newest / TENSORS).write_bytes(raw if damage == "one bit" else raw[: len(raw) // 2])
    capsys.readouterr()
    assert run(tmp_path) == whole
    told = [line for line in capsys.readouterr().err.replace("\r", "\n").split("\n") if "damaged" in line]
    assert len(told) == 1 and str(newest) in told[0]


def test_what_a_killed_save_left_is_swept_up(tmp_path, whole):
    (tmp_path / ".00000002.1a2b3c4d.tmp").mkdir()
    (tmp_path / ".00000002.1a2b3c4d.tmp" / TENSORS).write_bytes(b"half")
    assert run(tmp_path) == whole
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("other", ["phase", "profile", "shape"])
def test_another_phase_profile_or_shape_is_refused_with_both_shapes(tmp_path, other):
    run(tmp_path, until=2)
    before = (checkpoints(tmp_path)[-1] / TENSORS).read_bytes()
    from dataclasses import replace

    from v2ir_lib.diffusion.lora import add_lora

    phase = small_phase("phase1" if other == "phase" else "phase2", steps=STEPS)
    unet = small_unet(phase.in_channels)
    told = r"phase2 of profile tiny, whose UNet reads 12 × 8 × 8, not of phase1 of profile tiny, .* 4 × 8 × 8"
    if other == "phase":
        add_lora(unet, 2)
    elif other == "profile":
        phase = replace(phase, profile="full")
        told = r"phase2 of profile tiny, whose UNet reads 12 × 8 × 8, not of phase2 of profile full, .* 12 × 8 × 8"
    else:
        unet.conv_out = torch.nn.Conv2d(8, 4, 5, padding=2)
        told = r"weights/conv_out.weight has shape \(4, 8, 3, 3\), this model needs \(4, 8, 5, 5\)"
    with pytest.raises(UserError, match=told):
        loss = Loss(phase, 0.7, torch.zeros(1, 7, 32))
        train(unet, phase, small_data(phase), loss, seed=0, folder=tmp_path)
    assert (checkpoints(tmp_path)[-1] / TENSORS).read_bytes() == before
