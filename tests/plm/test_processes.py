"""Two processes give, to rounding, what one gives with the same global batch; and so do several parts of a batch."""

import multiprocessing
import os
import socket
from pathlib import Path

import pytest
import torch
from small_runs import small_data, small_phase, small_unet

from v2ir_lib.errors import UserError
from v2ir_lib.plm.checkpoint import load_newest
from v2ir_lib.plm.loss import Loss
from v2ir_lib.plm.processes import make_accelerator, shares
from v2ir_lib.plm.train import train

STEPS, BATCH, RATE = 3, 5, 1e-4  # five samples: three are the first process's, two the second's


def run(folder: Path, until: int = STEPS, log: Path | None = None, **settings) -> None:
    phase = small_phase("phase2", steps=STEPS, batch_size=BATCH, learning_rate=RATE, **settings)
    loss = Loss(phase, 0.7, torch.zeros(1, 7, 32))
    unet = small_unet(phase.in_channels)
    train(unet, phase, small_data(phase), loss, seed=0, folder=folder, until=until, log_dir=log)


def one_of_two(number: int, port: int, folder: Path, accumulation: int) -> None:
    """What `accelerate launch --cpu` does to a process before it runs the script, then the training."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    from accelerate.state import AcceleratorState, PartialState

    AcceleratorState._reset_state()
    PartialState._reset_state()  # this process was forked from one that was alone
    for until in (1, STEPS):
        run(folder, until, folder / "log", accumulation=accumulation)


def together(folder: Path, accumulation: int) -> None:
    """Both processes, to the end."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    context = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "fork")
    pair = [context.Process(target=one_of_two, args=(number, port, folder, accumulation)) for number in (0, 1)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(120)
        process.kill()
    assert [process.exitcode for process in pair] == [0, 0]


def compare(one: Path, other: Path) -> None:
    """Gradients (in AdamW's first moment) and weights are equal to rounding, losses to the digits that are kept."""
    (a, facts), (b, others) = load_newest(one), load_newest(other)
    assert a.keys() == b.keys() and facts["step"] == others["step"] == STEPS
    assert others["losses"] == pytest.approx(facts["losses"], abs=2e-6)
    largest = max(float(a[name].abs().max()) for name in a if name.startswith("exp_avg/"))
    for name in a:
        if name.startswith("exp_avg/"):
            assert float((a[name] - b[name]).abs().max()) < 1e-5 * largest, name
        if name.startswith("weights/"):
            assert float((a[name] - b[name]).abs().mean()) < 1e-3 * RATE, name  # a thousandth of a step


def test_two_processes_are_as_one(tmp_path):
    run(tmp_path / "one")
    together(tmp_path / "two", accumulation=1)
    compare(tmp_path / "one", tmp_path / "two")
    assert len(list((tmp_path / "two" / "log").glob("events*"))) == 2, "the main process logs, one file each start"


def test_two_processes_that_accumulate_are_as_one(tmp_path):
    run(tmp_path / "one", accumulation=2)
    together(tmp_path / "two", accumulation=2)
    compare(tmp_path / "one", tmp_path / "two")


def test_parts_of_a_batch_add_up_to_it(tmp_path):
    run(tmp_path / "whole")
    run(tmp_path / "parts", accumulation=3)  # of two, two and one
    compare(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("batch, processes, accumulation", [(16, 1, 1), (16, 3, 2), (5, 2, 2), (7, 7, 1)])
def test_every_sample_is_computed_once(batch, processes, accumulation):
    parts = [shares(batch, accumulation, process, processes) for process in range(processes)]
    assert all(len(part) == accumulation and all(part) is not None for part in parts)
    assert sorted(i for mine in parts for part in mine for i in part) == list(range(batch))
    assert all(part for mine in parts for part in mine), "collective steps need as many parts everywhere"


def test_a_batch_that_is_too_small_is_refused():
    with pytest.raises(UserError, match=r"a batch of 3 cannot be shared by 2 process\(es\) in 2 part"):
        shares(3, 2, 0, 2)


def test_precisions():
    assert make_accelerator("cpu", "bf16").mixed_precision == "bf16"
    assert make_accelerator("cpu").mixed_precision == "no"  # in the same process
    with pytest.raises(UserError, match="unknown mixed precision 'fp64': choose one of no, bf16, fp16"):
        make_accelerator("cpu", "fp64")
    with pytest.raises(UserError, match="fp16 does not train on a CPU"):
        make_accelerator("cpu", "fp16")


def test_bf16_trains_and_leaves_an_ordinary_unet(tmp_path):
    phase = small_phase("phase2", steps=2)
    unet = small_unet(12)
    forward = unet.forward
    train(unet, phase, small_data(phase), Loss(phase, 0.7, torch.zeros(1, 7, 32)), seed=0, folder=tmp_path / "bf16",
          mixed_precision="bf16")  # fmt: skip
    assert {weight.dtype for weight in unet.parameters()} == {torch.float32} and unet.forward == forward
    run(tmp_path / "no")
    losses = [load_newest(tmp_path / name)[1]["losses"][0] for name in ("bf16", "no")]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.5)
