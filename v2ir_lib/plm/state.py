"""All that the next step of a run depends on, and how it is put into a checkpoint and back.

Weights, their average, what AdamW remembers (`optimiser.py`), the step; every draw is keyed by the step.
Files: `checkpoint.py`.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from v2ir_lib.plm.average import Average
from v2ir_lib.plm.checkpoint import check_resumable, check_same_kind, check_shapes, load_newest, save_checkpoint, sweep
from v2ir_lib.plm.optimiser import ADAMW, KEPT, kept, put_back


@dataclass
class Progress:
    """Where a run is, and how it went there."""

    step: int = 0  # steps done
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)  # one a step
    trained_parameters: int = 0


@dataclass
class State:
    """The state of one run. `identity` says which run it is: a checkpoint of any other is refused."""

    folder: Path
    identity: dict
    weights: dict[str, torch.nn.Parameter]
    average: Average
    optimiser: torch.optim.Optimizer  # AdamW, or accelerate's wrapper around it
    scaler: torch.amp.GradScaler | None = None  # of fp16
    writes: bool = True  # the main process does, the others only help to gather

    def save(self, progress: Progress) -> None:
        """Write a checkpoint. Where weights are split over processes, all must call it."""
        tensors = {}
        for name, weight in self.weights.items():
            tensors[f"weights/{name}"] = whole(weight)
            tensors[f"average/{name}"] = whole(self.average.values[name])
            for kind, tensor in kept(self.optimiser, weight, progress.step).items():
                tensors[f"{kind}/{name}"] = whole(tensor)
        facts = {**self.identity, "seconds": progress.seconds, "losses": progress.losses}
        if self.scaler is not None:
            facts["scaler"] = self.scaler.state_dict()
        if self.writes:
            save_checkpoint(self.folder, progress.step, tensors, facts)

    @torch.no_grad()
    def resume(self) -> Progress:
        """Put the newest intact checkpoint back; without one, begin. `UserError` for another run's or model's."""
        if self.writes:
            sweep(self.folder)
        progress = Progress(trained_parameters=sum(weight.numel() for weight in self.weights.values()))
        found = load_newest(self.folder)
        if found is None:
            return progress
        tensors, facts = found
        check_same_kind(facts, self.identity, self.folder)
        check_shapes(tensors, {f"weights/{name}": weight for name, weight in self.weights.items()}, self.folder)
        usual = {"optimizer": ADAMW}  # a run with any other says so
        check_resumable(usual | facts, usual | self.identity, self.folder)
        states = {}
        for name, weight in self.weights.items():
            weight.copy_(like(tensors[f"weights/{name}"], weight))
            self.average.values[name].copy_(like(tensors[f"average/{name}"], weight))
            saved = {kind: tensors[f"{kind}/{name}"] for kind in KEPT if f"{kind}/{name}" in tensors}
            if saved:
                states[weight] = {kind: like(tensor, weight) for kind, tensor in saved.items()}
        put_back(self.optimiser, states, facts["step"])
        if self.scaler is not None and "scaler" in facts:
            self.scaler.load_state_dict(facts["scaler"])
        progress.step, progress.seconds, progress.losses = facts["step"], facts["seconds"], facts["losses"]
        return progress


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, gathered where FSDP has split it over processes."""
    return tensor.detach().full_tensor() if hasattr(tensor, "full_tensor") else tensor


def like(tensor: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
    """A whole tensor, split as `pattern` is where FSDP has split that."""
    if not hasattr(pattern, "full_tensor") or not tensor.ndim:  # a count of steps is everywhere
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(pattern.device), pattern.device_mesh, pattern.placements)
