"""The benchmark of the full size, at an eighth of its width: what it does is real, and what it says holds."""

import dataclasses
import importlib.util
import json

import pytest
import torch

from v2ir_lib.files import repo_root
from v2ir_lib.profiles import FULL


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("full_size", repo_root() / "benchmarks" / "full_size.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def report(benchmark, tmp_path_factory):
    path = tmp_path_factory.mktemp("full") / "full_size.json"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(benchmark, "FULL", dataclasses.replace(FULL, image_size=64))  # a sixteenth of the pixels
        patched.setattr(torch.cuda, "is_available", lambda: False)  # its part takes minutes; tested below
        assert benchmark.main(["--narrow", "8", "--out", str(path)]) == 0
    return json.loads(path.read_text())


def test_a_step_of_training(report):
    cpu = report["cpu"]
    assert report["narrowed_by"] == 8 and report["image_size"] == 64
    assert cpu["unet"]["tensors"] == 686
    step = cpu["training step"]
    assert 0.5 < step["loss"] < 2, "an untrained UNet: about the variance of eps"
    assert step["new_channels_moved_by"] == pytest.approx(FULL.phase2.learning_rate, rel=0.01), "AdamW's first step"
    assert step["seconds"] > 0 and step["peak_memory_gb"] > step["memory_before_gb"]


def test_a_step_of_sampling(report):
    step = report["cpu"]["sampling step"]
    assert step["finite"] and step["shape"] == [1, 4, 8, 8] and step["branches"] == 3


def test_not_narrowed_is_the_full_profile(benchmark):
    assert benchmark.narrowed(FULL, 1) == FULL
    assert benchmark.needed_bytes(FULL) == 16 * 859_544_004 + 2_000_000_000


def test_the_watch_sees_what_comes_and_goes(benchmark):
    with benchmark.Watch() as watch:
        block = torch.ones(60_000_000)
        torch.add(block, 1, out=block)
        del block
    assert watch.peak - watch.before > 200e6


def test_too_little_memory_is_said_before_anything_is_made(benchmark, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(benchmark, "on_the_cpu", lambda _: pytest.fail("begun"))
    monkeypatch.setattr(benchmark.psutil, "virtual_memory", lambda: type("", (), {"available": 8e9}))
    assert benchmark.main(["--out", str(tmp_path / "a.json")]) == 2
    assert "15.8 GB of memory, 8.0 are free" in capsys.readouterr().err and not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("true", [0, 1, 2, 3, 31, 32, 33, 100])
def test_bisection(benchmark, true):
    asked = []

    def fits(batch):
        asked.append(batch)
        return batch <= true

    assert benchmark.bisect(fits, most=100) == true
    assert len(asked) == len(set(asked)) <= 15 and max(asked) <= 128


def test_the_largest_batch_is_by_measured_peak(benchmark, monkeypatch):
    """10 bytes a sample and 50 for the weights; from 8 samples on the card itself is full."""
    run, cleared = [], []

    def step_of(batch):
        def step():
            run.append(batch)
            if batch >= 8:
                raise torch.cuda.OutOfMemoryError

        return step

    class Optimiser:
        def zero_grad(self, set_to_none):
            cleared.append(set_to_none)

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 50 + 10 * run[-1])
    assert benchmark.largest_batch(step_of, 105e-9, Optimiser()) == 5
    assert benchmark.largest_batch(step_of, 59e-9, Optimiser()) == 0
    assert cleared == [True]
    assert benchmark.largest_batch(step_of, 500e-9, Optimiser()) == 7


def test_the_gpus_part_with_the_gpu_taken_out(benchmark, monkeypatch):
    """The same lines, in bf16, on the CPU: only what asks the card itself is answered here."""
    compiled, cards = [], []
    monkeypatch.setattr(benchmark, "WARM_UP", 1)
    monkeypatch.setattr(benchmark, "TIMED", 1)
    monkeypatch.setattr(benchmark, "largest_batch", lambda step_of, card, _: cards.append(step_of(1)()) or card // 40)
    monkeypatch.setattr(torch, "compile", lambda network: compiled.append(network) or network)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: type("", (), {"total_memory": 80e9}))
    profile = dataclasses.replace(benchmark.narrowed(FULL, 8), image_size=32)
    found = benchmark.on_a_gpu(profile, device="cpu")
    assert found["batch"] == 2 and found["largest_batch_within_gb"] == {24: 0, 40: 1, 80: 2}
    assert min(found["images_a_second"].values()) > 0 and len(compiled) == 1
    assert len(cards) == 3 and all(loss.isfinite() for loss in cards)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu(benchmark):
    found = benchmark.on_a_gpu(benchmark.narrowed(FULL, 8))
    assert set(found["images_a_second"]) == {"eager", "compiled"} and min(found["images_a_second"].values()) > 0
    assert 0 < found["largest_batch_within_gb"][24] <= found["largest_batch_within_gb"][80]
