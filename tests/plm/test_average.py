"""The average of the weights, where they are or elsewhere."""

import pytest
import torch
from small_runs import small_data, small_phase, small_unet

from v2ir_lib.plm import train as training
from v2ir_lib.plm.average import Average
from v2ir_lib.plm.cache import weights_fingerprint
from v2ir_lib.plm.loss import Loss


def moved(device: str, place: str | None) -> Average:
    """An average of a weight that goes from 0 to 1 to 2 on `device`."""
    weights = {"w": torch.nn.Parameter(torch.zeros(3, device=device))}
    average = Average(weights, 0.9, place)
    for step in (1, 2):
        with torch.no_grad():
            weights["w"] += 1
        average.update(weights, step)
        with average.in_place_of(weights):
            pass
    return average


def test_it_is_kept_where_it_was_asked_for():
    """torch's device without memory stands for another machine: nothing there can be computed, or copied back."""
    weights = {"w": torch.nn.Parameter(torch.zeros(3))}
    average = Average(weights, 0.9, "meta")
    average.update(weights, 1)
    assert average.values["w"].is_meta and not weights["w"].is_meta
    assert moved("cpu", None).values["w"].device.type == "cpu"


def test_it_is_a_copy_wherever_it_is():
    """d = 2/11, then 3/12: 0 → 9/11 → 3/12 · 9/11 + 9/12 · 2."""
    for place in (None, "cpu"):
        assert moved("cpu", place).values["w"].tolist() == pytest.approx([3 / 12 * 9 / 11 + 1.5] * 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_out_of_a_gpu_it_is_the_same_to_rounding():
    there, here = moved("cuda", None).values["w"], moved("cuda", "cpu").values["w"]
    assert there.device.type == "cuda" and here.device.type == "cpu"
    torch.testing.assert_close(there.cpu(), here)


def test_a_run_keeps_it_on_the_cpu_where_asked_and_ends_in_the_same_bytes(tmp_path, monkeypatch):
    places, ends = [], []

    class Seen(Average):
        def __init__(self, weights, decay, device):
            places.append(device)
            super().__init__(weights, decay, device)

    monkeypatch.setattr(training, "Average", Seen)
    for on_cpu in (False, True):
        phase = small_phase("phase2", steps=2)
        unet, loss = small_unet(12), Loss(phase, 0.7, torch.zeros(1, 7, 32))
        training.train(unet, phase, small_data(phase), loss, seed=0, folder=tmp_path / f"{on_cpu}", ema_on_cpu=on_cpu)
        ends.append(weights_fingerprint(unet))
    assert places == [None, "cpu"] and ends[0] == ends[1]
