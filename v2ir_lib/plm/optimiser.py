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
STEP = "step"  # how many a weight has taken
# What is kept for a weight: torch's two moments; bitsandbytes' two, and in 8 bits the largest number of each block; and
# its step, where that is not the loop's.
KEPT = ("exp_avg", "exp_avg_sq", "state1", "state2", "absmax1", "absmax2", STEP)


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


def check_optimiser(kind: str, device: str | torch.device | None = None) -> None:
    """`UserError` before anything costly: for an unknown kind, and where 8 bits cannot be had on this device.

    One small weight takes a step, for bitsandbytes only finds out then that it was built for another machine. Without a
    device no GPU is touched, and the question is only whether the library is there.
    """
    if kind not in OPTIMISERS:
        raise UserError(f"unknown optimizer {kind!r}: choose one of {', '.join(OPTIMISERS)}")
    if kind == ADAMW:
        return
    weight = torch.nn.Parameter(torch.ones(4096, device=device or "cpu"))
    weight.grad = torch.ones_like(weight)
    try:
        optimiser = make_optimiser({"weight": weight}, PhaseSettings(1, 1, 1e-3), kind)
        if device is not None:
            optimiser.step()
    except ImportError:
        raise UserError(
            f"optimizer {kind} needs bitsandbytes: pip install -e '.[eight-bit]' in this project's folder, "
            "or leave it out"
        ) from None
    except Exception as error:  # whatever a library of another kind of machine raises
        said = " ".join(str(error).split())[:200]
        where = "here" if device is None else f"on {device} here"
        raise UserError(f"bitsandbytes cannot train {where}: leave optimizer {kind} out ({said})") from None


def kept(optimiser: torch.optim.Optimizer, weight: torch.nn.Parameter, step: int) -> dict[str, torch.Tensor]:
    """The tensors that the next step of a weight depends on, by name; none before its first step.

    After `step` steps of the loop a weight has mostly taken as many. It has taken fewer where fp16's scaler left some
    out, and AdamW's bias correction goes by its own count: only then is that count among the tensors.
    """
    state = optimiser.state[weight] if weight in optimiser.state else {}
    tensors = {name: state[name] for name in KEPT if name in state and name != STEP}
    if tensors and int(state.get(STEP, step)) != step:
        tensors[STEP] = torch.tensor(float(state[STEP]))
    return tensors


def put_back(optimiser: torch.optim.Optimizer, states: dict[torch.nn.Parameter, dict], step: int) -> None:
    """After `step` steps of the loop, give the optimiser what was `kept` of each weight."""
    within = getattr(optimiser, "optimizer", optimiser)  # accelerate's wrapper
    usual = {STEP: torch.tensor(float(step))}
    if not hasattr(within, "init_state"):
        for weight, tensors in states.items():
            moments = {n: torch.empty_like(weight).copy_(tensor) for n, tensor in tensors.items() if n != STEP}
            optimiser.state[weight] = {STEP: (usual | tensors)[STEP].clone()} | moments
        return
    for number, group in enumerate(within.param_groups):  # bitsandbytes: tables stand beside them, always the same
        for place, weight in enumerate(group["params"]):
            if weight in states:
                within.init_state(group, weight, number, place)
                tensors = usual | states[weight]
                within.state[weight][STEP] = int(tensors.pop(STEP))
                for name, tensor in tensors.items():
                    within.state[weight][name].copy_(tensor)
