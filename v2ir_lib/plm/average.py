"""The moving average of the weights, which samples better than the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Average:
    """Exponential moving average of the trained weights, a ← d·a + (1 − d)·p, which is what samples best.

    With a warm-up, d = min(decay, (1 + n) / (10 + n)) after n steps; without it the first weights would still make up
    0.999^500 = 60% of the average after 500 steps. It is where the weights are, or on `device`: in the CPU's memory it
    takes none of a GPU's, and all weights travel there in every step.
    """

    def __init__(self, weights: dict[str, torch.nn.Parameter], decay: float, device: str | None = None):
        self.decay = decay
        self.device = device
        self.values = {name: self._here(weight, copy=True) for name, weight in weights.items()}

    @torch.no_grad()
    def update(self, weights: dict[str, torch.nn.Parameter], step: int) -> None:
        """Take step number `step`, counted from 1, towards the present weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.values.values()), [self._here(w) for w in weights.values()], 1 - decay)

    @torch.no_grad()
    def copy_to(self, weights: dict[str, torch.nn.Parameter]) -> None:
        """Put the average in place of the weights."""
        for name, weight in weights.items():
            weight.copy_(self.values[name])

    @contextmanager
    def in_place_of(self, weights: dict[str, torch.nn.Parameter]) -> Iterator[None]:
        """Within the block the weights are their average; after it they have their own bytes again."""
        own = {name: self._here(weight, copy=True) for name, weight in weights.items()}
        self.copy_to(weights)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.copy_(own[name])

    def _here(self, weight: torch.nn.Parameter, copy: bool = False) -> torch.Tensor:
        """A weight where the average is."""
        if self.device is None:
            return weight.detach().clone() if copy else weight.detach()
        return weight.detach().to(self.device, copy=copy)
