"""One process or several: what accelerate sets up, and which samples of a step are whose.

`accelerate launch` starts the processes and tells each who it is through the environment; a plain start is one process.
"""

import os
from collections.abc import Sequence

import torch

from v2ir_lib.errors import UserError

PRECISIONS = ("no", "bf16", "fp16")


def make_accelerator(device: str = "cpu", mixed_precision: str = "no"):
    """An `accelerate.Accelerator` for this process: "cpu", or "cuda" (each process its own GPU), "cuda:1" for one.

    Raises `UserError` for an unknown precision, and for fp16 on a CPU, which does not train in it.
    """
    if mixed_precision not in PRECISIONS:
        raise UserError(f"unknown mixed precision {mixed_precision!r}: choose one of {', '.join(PRECISIONS)}")
    wanted = torch.device(device)
    if mixed_precision == "fp16" and wanted.type == "cpu":
        raise UserError("fp16 does not train on a CPU: choose no or bf16")
    from accelerate import Accelerator  # here, not above: its state reads the environment
    from accelerate.state import AcceleratorState

    if wanted.index is not None:
        torch.cuda.set_device(wanted)
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    AcceleratorState._reset_state(reset_partial_state=alone)  # a notebook trains on the CPU, then on a GPU
    return Accelerator(cpu=wanted.type == "cpu", mixed_precision=mixed_precision)


def shares(batch_size: int, accumulation: int, process: int = 0, processes: int = 1) -> list[Sequence[int]]:
    """The global sample indices of a step that one process computes, in the parts that it computes them in.

    Together the processes have each of 0…batch_size − 1 once. Raises `UserError` where a part would be empty.
    """
    if accumulation < 1 or batch_size < processes * accumulation:
        raise UserError(
            f"a batch of {batch_size} cannot be shared by {processes} process(es) in {accumulation} part(s) each: "
            "give a larger batch, or fewer parts"
        )
    mine = torch.arange(batch_size).tensor_split(processes)[process]
    return [part.tolist() for part in mine.tensor_split(accumulation)]


def check_whole(accelerator, what: str) -> None:
    """`UserError` where each process holds a piece of the weights only (FSDP, DeepSpeed): `what` needs whole ones."""
    kind = accelerator.distributed_type.value
    if kind in ("FSDP", "DEEPSPEED"):
        raise UserError(f"{what} cannot be had with {kind}, which splits them over processes: leave one of them out")


def agree(accelerator, loss: torch.Tensor, *wishes: bool) -> tuple[float, *tuple[bool, ...]]:
    """The mean of all processes' losses, and of each wish whether any process has it: all get the same answer."""
    told = torch.stack([loss.float(), *(torch.tensor(float(wish), device=loss.device) for wish in wishes)])
    mean, *any_has = accelerator.reduce(told, "mean").tolist()
    return mean, *(share > 0 for share in any_has)
