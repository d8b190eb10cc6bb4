"""From noise to an infrared latent: our own loop, diffusers' schedulers; Euler ancestral is the paper's.

Two things differ from scheduler to scheduler, and nothing else here depends on which it is. What is kept between steps
is z_t / √ᾱ for the Euler family, z_t itself for the others; and how many evaluations a step takes. So the loop counts
evaluations: each has a noise level σ = √((1 − ᾱ)/ᾱ) and the branches of the guidance there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    SchedulerMixin,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)

from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.guidance import Branch, Guided, branch_conditions, combine
from v2ir_lib.diffusion.noising import estimate
from v2ir_lib.diffusion.tiles import Tiling
from v2ir_lib.diffusion.widening import unet_input
from v2ir_lib.errors import UserError

# Stable Diffusion's betas. Timesteps are spread evenly over the whole range ("linspace"; the other spacings of the
# Euler family do not begin at sigma_max).
NOISE = dict(
    num_train_timesteps=1000,
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule="scaled_linear",
    timestep_spacing="linspace",
)


@dataclass(frozen=True)
class Solver:
    """diffusers' class for a sampler, its options, and what our loop must know of it."""

    scheduler: type[SchedulerMixin]
    options: dict = field(default_factory=dict)
    draws: bool = False  # noise at every step
    placed: bool = False  # takes its timesteps from us, see `timesteps`


SOLVERS = {
    # Karras et al. 2022's code, k-diffusion, as the authors of DiffV2IR use it; the last evaluation is at t = 0
    "euler-ancestral": Solver(EulerAncestralDiscreteScheduler, draws=True),
    # Song et al. 2021, η = 0, which is Euler's method in σ. diffusers' DDIMScheduler takes t − ⌊1000/n⌋ for the next
    # timestep, and that is the next in its list only where n divides 1000
    "ddim": Solver(EulerDiscreteScheduler, placed=True),
    # Lu et al. 2022, multistep of second order: the differential equation, or the stochastic one
    "dpm++2m": Solver(DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
    "dpm++2m-sde": Solver(DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}, draws=True),
    # Zhao et al. 2023, predictor and corrector of second order, B_2(h)
    "unipc": Solver(UniPCMultistepScheduler, {"solver_type": "bh2"}),
    # Karras et al. 2022, Algorithm 1: two evaluations a step, one in the last
    "heun": Solver(HeunDiscreteScheduler, placed=True),
}


def make_scheduler(prediction: str = "epsilon", sampler: str = "euler-ancestral") -> SchedulerMixin:
    """A sampler's scheduler, by default Euler ancestral with the released code's sigmas: sigma_max = 14.6146.

    `prediction` says what the network answers: `noising`. `sampler` is one of `SOLVERS`.
    """
    solver = SOLVERS[sampler]
    return solver.scheduler(**NOISE, prediction_type=prediction, **solver.options)


def scheduler_like(scheduler: SchedulerMixin, sampler: str) -> SchedulerMixin:
    """The scheduler of another sampler for the same model: the same noise levels in training, the same prediction."""
    config = scheduler.config
    kept = {name: config[name] for name in (*NOISE, "prediction_type", "trained_betas")}
    return SOLVERS[sampler].scheduler(**kept | SOLVERS[sampler].options)


def seeded_noise(generators: list[torch.Generator], shape: tuple[int, ...]) -> torch.Tensor:
    """N(0, 1) noise (B, *shape) on the CPU, one generator a sample, so that no sample depends on its neighbours."""
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])


def generators_for(seeds: list[int]) -> list[torch.Generator]:
    """One CPU generator a sample: the same noise whatever the device that computes."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def timesteps(steps: int, count: int = 1000) -> np.ndarray:
    """`steps` whole timesteps from the last, 999, evenly down; 0 itself is left out, as σ = 0 comes next anyway.

    The multistep solvers of diffusers space theirs like this. `UserError` where there are not as many.
    """
    if not 1 <= steps < count:
        raise UserError(f"this sampler takes 1 to {count - 1} steps, not {steps}")
    return np.linspace(0, count - 1, steps + 1).round()[:0:-1].astype(np.int64)


def set_steps(scheduler: SchedulerMixin, steps: int, device: torch.device | str = "cpu") -> list[float]:
    """Prepare a scheduler for `steps` steps; the noise level σ of each evaluation, in order.

    There are as many evaluations as steps, with Heun 2·steps − 1.
    """
    solver = _solver(scheduler)
    if solver.scheduler is EulerAncestralDiscreteScheduler:
        scheduler.set_timesteps(steps, device=device)
    else:
        places = timesteps(steps, scheduler.config.num_train_timesteps)
        if solver.placed:
            scheduler.set_timesteps(timesteps=places, device=device)
        else:
            scheduler.set_timesteps(steps, device=device)
    return [float(sigma) for sigma in scheduler.sigmas[: len(scheduler.timesteps)]]


def evaluations(scheduler: SchedulerMixin, branches: tuple[Branch, ...] | Guided, steps: int) -> int:
    """How often the UNet is evaluated for one sample (one tile of it, where it has tiles): branches count."""
    sigmas = set_steps(scheduler, steps)
    return sum(len(every) for every in _plan(scheduler, sigmas, branches))


@torch.no_grad()
def sample(
    unet: UNet2DConditionModel,
    scheduler: SchedulerMixin,
    conditions: Conditions,
    null_text: torch.Tensor,
    branches: tuple[Branch, ...] | Guided,
    steps: int,
    seeds: list[int],
    callback: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None,
    *,
    rescale: float = 0.0,
    slice: int | None = None,
    tiling: Tiling | None = None,
) -> torch.Tensor:
    """Guided sampling of z_0 (B, 4, h, w), scaled as the targets were; any scheduler of `SOLVERS`, any h and w.

    branches: the same at every noise level, or a function of it (`guidance.guided`). All branches run in one batch, or
    `slice` rows of it at a time; in tiles, where a `tiling` of (h, w) is given (MultiDiffusion, Bar-Tal et al. 2023):
    their answers are blended at each step, so that the whole is one sample from one noise. rescale: see `combine`.
    `callback(evaluation, z, z_0 estimate)` after each evaluation; z is what the scheduler keeps.
    """
    device = conditions.visible.device
    generators = generators_for(seeds)
    sigmas = set_steps(scheduler, steps, device)
    plan = _plan(scheduler, sigmas, branches)
    drawn = {"generator": generators} if _solver(scheduler).draws else {}
    z = seeded_noise(generators, tuple(conditions.visible.shape[1:])).to(device) * scheduler.init_noise_sigma
    joined: dict[frozenset, Conditions] = {}  # conditions never change on the way: once for each set of branches

    for number, (t, every) in enumerate(zip(scheduler.timesteps, plan, strict=True)):
        asked = tuple(branch.given for branch in every)
        if asked not in joined:
            joined[asked] = branch_conditions(conditions, null_text, every)
        known = joined[asked]
        scaled = scheduler.scale_model_input(z, t)  # z alone: conditions are never scaled
        x = unet_input(scaled.repeat(len(every), 1, 1, 1), known.visible, known.segments)
        answers = _answers(unet, x, t, known.text, slice, tiling)
        answer = combine(answers, every, rescale)
        z = scheduler.step(answer, t, z, **drawn).prev_sample
        if callback is not None:
            alpha_bar = torch.tensor(1 / (1 + sigmas[number] ** 2), device=device)
            callback(number, z, estimate(scaled, answer, alpha_bar, scheduler.config.prediction_type))
    return z


def _answers(unet, x: torch.Tensor, t, text: torch.Tensor, rows: int | None, tiling: Tiling | None) -> torch.Tensor:
    """What the UNet says to x (rows, 12, h, w): all at once, some rows at a time, or blended from tiles."""

    def ask(x: torch.Tensor) -> torch.Tensor:
        if rows is None or rows >= len(x):
            return unet(x, t, encoder_hidden_states=text).sample
        parts = zip(x.split(rows), text.split(rows), strict=True)
        return torch.cat([unet(part, t, encoder_hidden_states=words).sample for part, words in parts])

    return ask(x) if tiling is None else tiling.map(ask, x)


def _plan(scheduler: SchedulerMixin, sigmas: list[float], branches) -> list[tuple[Branch, ...]]:
    """The branches of each evaluation."""
    if not callable(branches):
        return [branches] * len(sigmas)
    last = scheduler.config.num_train_timesteps - 1
    return [branches(sigma, float(t) / last) for sigma, t in zip(sigmas, scheduler.timesteps, strict=True)]


def _solver(scheduler: SchedulerMixin) -> Solver:
    """The entry of `SOLVERS` that a scheduler belongs to."""
    for solver in SOLVERS.values():
        options = solver.options.items()
        if type(scheduler) is solver.scheduler and all(scheduler.config[name] == value for name, value in options):
            return solver
    raise ValueError(f"{type(scheduler).__name__} is none of the schedulers in SOLVERS")
