"""Classifier-free guidance with three conditions, Eq. 2 of the paper, as data.

    eps = eps(∅) + s_V [eps(V) - eps(∅)] + s_S [eps(V,S) - eps(V)] + s_T [eps(V,S,T) - eps(V,S)]

Gathered by branch, the weights are 1 - s_V, s_V - s_S, s_S - s_T and s_T: they sum to 1, and at s_V = s_S, the paper's
own best setting, one branch has weight 0 and is not computed at all.

The released code adds S before V: another chain of branches through the same arithmetic. At s_V = s_S both are one
function, since what they disagree about has weight 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch

from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.settings import Sampling

PAPER_CHAIN = ("visible", "segments", "text")  # the order in which they join
CHAINS = {"paper": PAPER_CHAIN, "released": ("segments", "visible", "text")}


@dataclass(frozen=True)
class Branch:
    """One evaluation of the UNet: the conditions it is given, and the weight of its answer."""

    given: frozenset[str]
    weight: float


def branches(
    s_text: float,
    s_visible: float,
    s_segments: float,
    chain: tuple[str, ...] = PAPER_CHAIN,
    *,
    skip: bool = True,
    keep_full: bool = False,
) -> tuple[Branch, ...]:
    """Eq. 2 by branch, ∅ first; branches of weight 0 are left out, unless `skip` is false.

    A condition that joins the chain raises the weight of the branch that has it and lowers that of the one before.
    With `keep_full` the branch that has all conditions stays whatever its weight: `combine` may measure by it.
    """
    scales = {"text": s_text, "visible": s_visible, "segments": s_segments}
    steps = [1.0] + [float(scales[name]) for name in chain] + [0.0]
    weights = [here - after for here, after in pairwise(steps)]
    every = [Branch(frozenset(chain[:k]), weight) for k, weight in enumerate(weights)]
    last = len(chain)
    return tuple(b for k, b in enumerate(every) if b.weight != 0 or not skip or (keep_full and k == last))


Guided = Callable[[float, float], tuple[Branch, ...]]  # (noise level σ, t/T) → the branches evaluated there


def guided(s_text: float, s_visible: float, s_segments: float, how: Sampling | None = None) -> Guided:
    """Eq. 2 as `how` says, at every noise level: a function of σ = √((1 − ᾱ)/ᾱ) and of t/T, 1 at the first step.

    Where guidance is off all scales are 1: Eq. 2 telescopes to the one branch that has every condition. It is on for σ
    in (guidance_to, guidance_from], as in Kynkäänniemi et al. 2024.
    """
    how = how or Sampling()
    high = math.inf if how.guidance_from is None else how.guidance_from
    low = 0.0 if how.guidance_to is None else how.guidance_to

    def at(sigma: float, left: float) -> tuple[Branch, ...]:
        f = strength(how.schedule, left) if low < sigma <= high else 0.0
        scales = (s_text, s_visible, s_segments)
        if f != 1:  # what a scale adds to plain conditioning is what is scheduled
            scales = tuple(1 + f * (scale - 1) for scale in scales)
        return branches(*scales, CHAINS[how.order], skip=how.skip, keep_full=how.rescale > 0)

    return at


def strength(schedule: str, left: float) -> float:
    """What the guidance is multiplied by at t/T = `left`: on average over t/T it is 1.

    "linear" is 2 (1 − t/T) and "cosine" 1 + cos(π t/T), both from 0 at the first step to 2 at the last: the increasing
    ones of Wang et al. 2024. In their words the guidance is ω = s − 1: 0 where nothing is guided.
    """
    return {"constant": 1.0, "linear": 2 * (1 - left), "cosine": 1 + math.cos(math.pi * left)}[schedule]


def branch_conditions(conditions: Conditions, null_text: torch.Tensor, every: tuple[Branch, ...]) -> Conditions:
    """The conditions of all branches as one batch, branch by branch: B samples → len(every) · B."""
    everyone = torch.ones(len(conditions), dtype=torch.bool, device=conditions.visible.device)
    absent = [{name: everyone for name in PAPER_CHAIN if name not in branch.given} for branch in every]
    return Conditions.cat([conditions.drop(null_text, **masks) for masks in absent])


def combine(answers: torch.Tensor, every: tuple[Branch, ...], rescale: float = 0.0) -> torch.Tensor:
    """The weighted sum of the branches' answers: (len(every) · B, 4, h, w) → (B, 4, h, w).

    The answers may be eps, or v: as the weights sum to 1, both lead to the same z_0 (see `noising`). Not so with
    `rescale`, φ of Lin et al. 2024, §3.4: each sample gets, to the share φ, the standard deviation that the answer
    under all conditions has, which strong guidance exceeds. They use it with v.
    """
    parts = answers.chunk(len(every))
    mixed = sum(branch.weight * part for branch, part in zip(every, parts, strict=True))
    if not rescale:
        return mixed
    full = max(range(len(every)), key=lambda k: len(every[k].given))
    ratio = _spread(parts[full]) / _spread(mixed)
    return mixed * (rescale * ratio + 1 - rescale)


def _spread(values: torch.Tensor) -> torch.Tensor:
    """Standard deviation over a sample's channels and places, (B, 1, 1, 1)."""
    return values.flatten(1).std(dim=1)[:, None, None, None]
