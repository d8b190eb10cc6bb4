"""Classifier-free guidance with three conditions, Eq. 2 of the paper, as data.

    eps = eps(∅) + s_V [eps(V) - eps(∅)] + s_S [eps(V,S) - eps(V)] + s_T [eps(V,S,T) - eps(V,S)]

Gathered by branch, the weights are 1 - s_V, s_V - s_S, s_S - s_T and s_T: they sum to 1, and at s_V = s_S, the paper's
own best setting, one branch has weight 0 and is not computed at all.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch

from v2ir_lib.diffusion.conditions import Conditions

PAPER_CHAIN = ("visible", "segments", "text")  # the order in which they join; released code: segments, visible, text


@dataclass(frozen=True)
class Branch:
    """One evaluation of the UNet: the conditions it is given, and the weight of its answer."""

    given: frozenset[str]
    weight: float


def branches(s_text: float, s_visible: float, s_segments: float, chain=PAPER_CHAIN) -> tuple[Branch, ...]:
    """Eq. 2 by branch, ∅ first; branches of weight 0 are left out.

    A condition that joins the chain raises the weight of the branch that has it and lowers that of the one before.
    """
    scales = {"text": s_text, "visible": s_visible, "segments": s_segments}
    steps = [1.0] + [float(scales[name]) for name in chain] + [0.0]
    weights = [here - after for here, after in pairwise(steps)]
    every = [Branch(frozenset(chain[:k]), weight) for k, weight in enumerate(weights)]
    return tuple(branch for branch in every if branch.weight != 0)


def branch_conditions(conditions: Conditions, null_text: torch.Tensor, every: tuple[Branch, ...]) -> Conditions:
    """The conditions of all branches as one batch, branch by branch: B samples → len(every) · B."""
    everyone = torch.ones(len(conditions), dtype=torch.bool, device=conditions.visible.device)
    absent = [{name: everyone for name in PAPER_CHAIN if name not in branch.given} for branch in every]
    return Conditions.cat([conditions.drop(null_text, **masks) for masks in absent])


def combine(answers: torch.Tensor, every: tuple[Branch, ...]) -> torch.Tensor:
    """The weighted sum of the branches' answers: (len(every) · B, 4, h, w) → (B, 4, h, w).

    The answers may be eps, or v: as the weights sum to 1, both lead to the same z_0 (see `noising`).
    """
    return sum(branch.weight * part for branch, part in zip(every, answers.chunk(len(every)), strict=True))
