"""AdamW in 8 bits: one clear line where it cannot be had; where it can, it learns, and resumes in the same bytes.

bitsandbytes itself is tested where it is installed; everywhere, a stand-in that holds its state as bitsandbytes does.
"""

import importlib.util
import sys
import tomllib
from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel
from small_runs import small_data, small_phase, small_unet

from v2ir_lib.errors import UserError
from v2ir_lib.files import repo_root
from v2ir_lib.plm import train as training
from v2ir_lib.plm.cache import weights_fingerprint
from v2ir_lib.plm.checkpoint import TENSORS, checkpoints, load_newest
from v2ir_lib.plm.draws import draw_batch
from v2ir_lib.plm.loss import Loss
from v2ir_lib.plm.optimiser import ADAMW, ADAMW_8BIT, check_optimiser, make_optimiser
from v2ir_lib.plm.processes import check_whole
from v2ir_lib.plm.train import train

BLOCK = 256


class StandIn(torch.optim.Optimizer):
    """AdamW with moments in 8 bits, evenly spaced in the square root. Names and `init_state` are bitsandbytes'."""

    def __init__(self, params, lr=1e-3, weight_decay=1e-2):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self.table = torch.linspace(-1, 1, 255) ** 2 * torch.linspace(-1, 1, 255).sign()

    def init_state(self, group, weight, group_number, place):
        assert self.param_groups[group_number]["params"][place] is weight
        small = weight.numel() < 4096
        state = self.state[weight] = {"step": 0}
        for number in "12":
            state[f"state{number}"] = torch.full_like(weight, 0 if small else 127, dtype=None if small else torch.uint8)
            if not small:
                state[f"absmax{number}"] = torch.zeros(-(-weight.numel() // BLOCK))
                state[f"qmap{number}"] = self.table  # one for all weights

    @torch.no_grad()
    def step(self, closure=None):
        for number, group in enumerate(self.param_groups):
            for place, weight in enumerate(group["params"]):
                if not self.state[weight]:
                    self.init_state(group, weight, number, place)
                self._update(weight, self.state[weight], group)

    def _update(self, weight, state, group):
        state["step"] += 1
        first = torch.lerp(self._get(state, "1"), weight.grad, 0.1)
        second = torch.lerp(self._get(state, "2"), weight.grad.square(), 0.001)
        self._put(state, "1", first)
        self._put(state, "2", second)
        first, second = first / (1 - 0.9 ** state["step"]), second / (1 - 0.999 ** state["step"])
        weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * first / (second.sqrt() + 1e-8))

    def _get(self, state, number):
        codes = state[f"state{number}"]
        if codes.dtype == torch.float32:
            return codes
        largest = state[f"absmax{number}"].repeat_interleave(BLOCK)[: codes.numel()]
        return (self.table[codes.flatten().int()] * largest).reshape(codes.shape)

    def _put(self, state, number, value):
        if state[f"state{number}"].dtype == torch.float32:
            return state[f"state{number}"].copy_(value)
        flat = torch.nn.functional.pad(value.flatten(), (0, -value.numel() % BLOCK)).reshape(-1, BLOCK)
        largest = flat.abs().amax(1).clamp(min=1e-12)
        state[f"absmax{number}"].copy_(largest)
        root = (flat / largest[:, None]).abs().sqrt() * flat.sign()
        codes = (127 + 127 * root).round().to(torch.uint8).flatten()[: value.numel()]
        return state[f"state{number}"].copy_(codes.reshape(value.shape))


def library(monkeypatch, optimiser) -> None:
    """Let `optimiser` be what bitsandbytes has."""
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", SimpleNamespace(AdamW8bit=optimiser))


@pytest.fixture(params=["stand-in", "bitsandbytes"])
def eight_bits(request, monkeypatch):
    """The 8-bit AdamW at work: in a test's run, this is what `from bitsandbytes.optim import AdamW8bit` gives."""
    if request.param == "stand-in":
        library(monkeypatch, StandIn)
    elif importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed: pip install -e '.[eight-bit]'")


def wide_unet():
    """Twice as wide as the small one: two thirds of its numbers are in weights of 4096 or more."""
    torch.manual_seed(0)
    return UNet2DConditionModel.from_config({**small_unet(12).config, "block_out_channels": (16, 32)})


def run(folder, kind: str = ADAMW_8BIT, **more):
    """A small phase 2; the UNet."""
    phase, unet = small_phase("phase2", learning_rate=1e-3), wide_unet()
    train(unet, phase, small_data(phase), Loss(phase, 0.7, torch.zeros(1, 7, 32)), seed=0, folder=folder,
          optimizer=kind, **more)  # fmt: skip
    return unet


def test_eight_bits_lower_the_loss_almost_as_thirty_two_do(tmp_path, eight_bits):
    phase = small_phase("phase2")
    batch, loss = draw_batch(small_data(phase), phase, seed=0, step=0), Loss(phase, 0.7, torch.zeros(1, 7, 32))
    fresh, eight = wide_unet(), run(tmp_path / "8")
    thirty_two = run(tmp_path / "32", ADAMW)
    before, after, usual = (float(loss(unet, batch).detach()) for unet in (fresh, eight, thirty_two))
    assert after < before - 1e-3 and usual < before - 1e-3
    assert after == pytest.approx(usual, abs=0.2 * (before - usual)) and after != usual


def test_killed_and_resumed_ends_in_the_same_bytes(tmp_path, eight_bits):
    whole = run(tmp_path / "whole")
    for until in (2, 5, None):  # a process that dies after a checkpoint, another, and one that lives
        resumed = run(tmp_path / "parts", until=until)
    assert weights_fingerprint(whole) == weights_fingerprint(resumed)
    ends = [(checkpoints(tmp_path / part)[-1] / TENSORS).read_bytes() for part in ("whole", "parts")]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("kind", [ADAMW, ADAMW_8BIT])
def test_steps_that_were_left_out_stay_left_out(tmp_path, monkeypatch, kind):
    """fp16's scaler leaves out a step whose gradients overflow: AdamW's own count stays behind the loop's."""
    asked = []

    def leaves_two_out(*of):
        optimiser = make_optimiser(*of)
        truly = optimiser.step

        def step(closure=None):
            asked.append(None)
            if len(asked) not in (1, 4):  # counted over all processes of a run
                truly()

        monkeypatch.setattr(optimiser, "step", step)
        return optimiser

    library(monkeypatch, StandIn)
    monkeypatch.setattr(training, "make_optimiser", leaves_two_out)
    whole = run(tmp_path / "whole", kind)
    asked.clear()
    for until in (1, 3, 5, None):
        resumed = run(tmp_path / "parts", kind, until=until)
    assert len(asked) == 6 and weights_fingerprint(whole) == weights_fingerprint(resumed)
    ends = [(checkpoints(tmp_path / part)[-1] / TENSORS).read_bytes() for part in ("whole", "parts")]
    assert ends[0] == ends[1]
    steps = {float(tensor) for name, tensor in load_newest(tmp_path / "parts")[0].items() if name.startswith("step/")}
    assert steps == {4.0}


def test_an_ordinary_checkpoint_holds_no_count_of_steps(tmp_path):
    """So it has the bytes it always had; and one without is read as one in which no step was left out."""
    run(tmp_path, ADAMW)
    tensors, _ = load_newest(tmp_path)
    assert {name.split("/")[0] for name in tensors} == {"weights", "average", "exp_avg", "exp_avg_sq"}


def test_a_checkpoint_holds_the_codes_themselves(tmp_path, eight_bits):
    unet = run(tmp_path)
    tensors, _ = load_newest(tmp_path)
    sizes = {name: weight.numel() for name, weight in unet.named_parameters()}
    large = {name for name, size in sizes.items() if size >= 4096}
    codes = {name for name in tensors if name.startswith("state")}
    share = sum(sizes[name] for name in large) / sum(sizes.values())
    assert share > 2 / 3 and len(codes) == 2 * len(sizes)
    assert {name.split("/")[1] for name in codes if tensors[name].dtype == torch.uint8} == large
    assert {name.split("/")[1] for name in tensors if name.startswith("absmax")} == large
    assert not [name for name in tensors if name.startswith(("qmap", "exp_avg"))]


@pytest.mark.parametrize("first, then", [(ADAMW, ADAMW_8BIT), (ADAMW_8BIT, ADAMW)])
def test_a_run_goes_on_with_its_own_optimiser_only(tmp_path, monkeypatch, first, then):
    library(monkeypatch, StandIn)
    run(tmp_path, first, until=2)
    with pytest.raises(UserError, match=f"holds a run with optimizer '{first}', not '{then}'"):
        run(tmp_path, then)


def test_without_the_library_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)  # as if it were not installed
    with pytest.raises(UserError, match=r"^optimizer adamw8bit needs bitsandbytes: pip install -e '\.\[eight-bit\]'"):
        run(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    project = tomllib.loads((repo_root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "bitsandbytes" in project["optional-dependencies"]["eight-bit"][0], "what the line names is there"
    check_optimiser(ADAMW, "cpu")  # needs nothing


def test_a_library_of_another_machine_is_found_out_before_training(tmp_path, monkeypatch):
    class Broken(StandIn):
        def step(self, closure=None):
            raise RuntimeError("no kernel\nfor this device")

    library(monkeypatch, Broken)
    with pytest.raises(UserError, match=r"bitsandbytes cannot train on cpu here: .*\(no kernel for this device\)$"):
        run(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    check_optimiser(ADAMW_8BIT)  # it is there; no device was asked


def test_an_unknown_optimiser():
    with pytest.raises(UserError, match="unknown optimizer 'sgd': choose one of adamw, adamw8bit"):
        check_optimiser("sgd", "cpu")


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED", "MULTI_GPU"])
def test_weights_in_pieces_are_refused(kind):
    from accelerate.utils import DistributedType

    accelerator = SimpleNamespace(distributed_type=DistributedType(kind))
    if kind == "MULTI_GPU":  # whole weights everywhere
        assert check_whole(accelerator, "8-bit moments") is None
        return
    with pytest.raises(UserError, match=f"8-bit moments cannot be had with {kind}, which splits"):
        check_whole(accelerator, "8-bit moments")


@pytest.mark.parametrize("asked", [{"optimizer": ADAMW_8BIT}, {"ema_on_cpu": True}])
def test_a_run_in_pieces_is_refused_before_it_trains(tmp_path, monkeypatch, asked):
    from accelerate.utils import DistributedType

    monkeypatch.setattr(training, "make_accelerator", lambda *_: SimpleNamespace(distributed_type=DistributedType.FSDP))
    phase = small_phase("phase2")
    with pytest.raises(UserError, match="cannot be had with FSDP"):
        training.train(small_unet(12), phase, small_data(phase), None, seed=0, folder=tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()
