"""AdamW with its two moments in 32 bits or in 8, and what of it a checkpoint keeps.

In 8 bits (Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization") a moment is a byte a number and a
float for each 256 of them, by bitsandbytes, which is not installed with this project. Weights of less than 4096 numbers
keep moments of 32 bits there.
"""

import torch

from v2ir_lib.errors import UserError
from v2ir_lib.profiles import PhaseSettings

ADAMW, ADAMW_8BIT = "adamw", "adamw8bit"
OPTIMISERS = (ADAMW, ADAMW_8BIT)
WEIGHT_DECAY = 0.01
# What is kept for a weight: torch's two moments; bitsandbytes' two, and in 8 bits the largest number of each block.
KEPT = ("exp_avg", "exp_avg_sq", "state1", "state2", "absmax1", "absmax2")


def make_optimiser(
    weights: dict[str, torch.nn.Parameter], settings: PhaseSettings, kind: str = ADAMW
) -> torch.optim.Optimizer:
    """AdamW in one or two groups: the first convolution learns `first_rate` times as fast as all the rest.

    Its new channels begin at zero, and as cameras differ in polarity, their gradients hardly agree between steps.
    """
    first = [weight for name, weight in weights.items() if name.startswith("conv_in.")]
    rest = [weight for name, weight in weights.items() if not name.startswith("conv_in.")]
    groups = [(rest, settings.learning_rate), (first, settings.learning_rate * settings.first_rate)]
    groups = [{"params": some, "lr": lr} for some, lr in groups if some]
    if kind == ADAMW_8BIT:
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(groups, weight_decay=WEIGHT_DECAY)
    return torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)


def check_optimiser(kind: str, device: str | torch.device) -> None:
    """`UserError` before anything costly: for an unknown kind, and where 8 bits cannot be had on this device.

    One small weight takes a step, for bitsandbytes only finds out then that it was built for another machine.
    """
    if kind not in OPTIMISERS:
        raise UserError(f"unknown optimizer {kind!r}: choose one of {', '.join(OPTIMISERS)}")
    if kind == ADAMW:
        return
    weight = torch.nn.Parameter(torch.ones(4096, device=device))
    weight.grad = torch.ones_like(weight)
    try:
        make_optimiser({"weight": weight}, PhaseSettings(1, 1, 1e-3), kind).step()
    except ImportError:
        raise UserError(f"optimizer {kind} needs bitsandbytes: pip install bitsandbytes, or leave it out") from None
    except Exception as error:  # whatever a library of another kind of machine raises
        said = " ".join(str(error).split())[:200]
        raise UserError(f"bitsandbytes cannot train on {device} here: leave optimizer {kind} out ({said})") from None


def kept(optimiser: torch.optim.Optimizer, weight: torch.nn.Parameter) -> dict[str, torch.Tensor]:
    """The tensors that the next step of a weight depends on, by name; none before its first step."""
    state = optimiser.state[weight] if weight in optimiser.state else {}
    return {name: state[name] for name in KEPT if name in state}


def put_back(optimiser: torch.optim.Optimizer, states: dict[torch.nn.Parameter, dict], step: int) -> None:
    """After `step` steps, give the optimiser what was `kept` of each weight."""
    within = getattr(optimiser, "optimizer", optimiser)  # accelerate's wrapper
    if not hasattr(within, "init_state"):
        for weight, tensors in states.items():
            moments = {name: torch.empty_like(weight).copy_(tensor) for name, tensor in tensors.items()}
            optimiser.state[weight] = {"step": torch.tensor(float(step))} | moments
        return
    for number, group in enumerate(within.param_groups):  # bitsandbytes: tables stand beside them, always the same
        for place, weight in enumerate(group["params"]):
            if weight in states:
                within.init_state(group, weight, number, place)
                within.state[weight]["step"] = step
                for name, tensor in states[weight].items():
                    within.state[weight][name].copy_(tensor)
