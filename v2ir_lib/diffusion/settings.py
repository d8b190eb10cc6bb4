"""How a sample is drawn, beside Eq. 2's scales and the number of steps: plain data. The defaults are the paper's.

Nothing heavy is imported here, so that the command can refuse a wrong word before it loads a model.
"""

import math
from dataclasses import dataclass

from v2ir_lib.errors import UserError

SAMPLERS = (
    "euler-ancestral",
    "ddim",
    "dpm++2m",
    "dpm++2m-sde",
    "unipc",
    "heun",
)  # `sampling.SOLVERS` says what each is
ORDERS = ("paper", "released")  # in which conditions join the guidance: `guidance.CHAINS`
SCHEDULES = ("constant", "linear", "cosine")  # of the scales over the steps: `guidance.strength`


@dataclass(frozen=True)
class Sampling:
    """Every field but the first two is off by default. `UserError` for a value that makes no sense.

    guidance_from, guidance_to: noise levels σ, large and small, between which Eq. 2's scales hold; outside, all
    conditions are given once and nothing is guided (Kynkäänniemi et al. 2024). None: no bound.
    schedule: how the scales change over the steps (Wang et al. 2024). rescale: φ of Lin et al. 2024, §3.4, 0 to 1.
    skip: branches of weight 0 are not evaluated. slice: rows of a batch that the UNet takes at once, None for all.
    size: pixels, side of a square of the area at which a picture is translated; None is the model's own, or with tiles
    the picture's. tile, overlap: pixels, the side of squares that a large picture is translated in, and what neighbours
    share at least; None: in one piece, and a quarter of a tile.
    """

    sampler: str = "euler-ancestral"
    order: str = "paper"
    guidance_from: float | None = None
    guidance_to: float | None = None
    schedule: str = "constant"
    rescale: float = 0.0
    skip: bool = True
    slice: int | None = None
    size: int | None = None
    tile: int | None = None
    overlap: int | None = None

    def __post_init__(self):
        for name, known in (("sampler", SAMPLERS), ("order", ORDERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise UserError(f"unknown {name} {getattr(self, name)!r}: choose one of {', '.join(known)}")
        for name in ("guidance_from", "guidance_to"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UserError(f"{_option(name)} is a noise level, 0 or more (the first is 14.6), not {value}")
        if None not in (self.guidance_from, self.guidance_to) and self.guidance_from <= self.guidance_to:
            raise UserError(
                f"guidance-from ({self.guidance_from:g}) must be more than guidance-to ({self.guidance_to:g}): "
                "noise levels fall while a picture is made"
            )
        if not 0 <= self.rescale <= 1:
            raise UserError(f"rescale must lie between 0 and 1, not {self.rescale}")
        for name in ("slice", "size", "tile"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.overlap is not None and self.tile is None:
            raise UserError("overlap is what tiles share: give the size of a tile too")
        if self.tile is not None and not 0 <= self.shared < self.tile:
            raise UserError(f"overlap must be at least 0 and less than a tile ({self.tile}), not {self.overlap}")

    @property
    def shared(self) -> int:
        """Pixels that neighbouring tiles share at least."""
        return self.tile // 4 if self.overlap is None else self.overlap


@dataclass(frozen=True)
class Fast:
    """A way to sample: what `--fast` stands for."""

    sampler: str
    steps: int
    evaluations: int  # of the UNet for one picture, at the tiny model's own scales


PAPER_EVALUATIONS = 400  # 100 steps, four branches each
# The fewest evaluations that are as good as the paper's recipe, also on scenes that had no part in the choice. Measured
# at the tiny size: results/sampling.json
FAST = Fast("euler-ancestral", steps=5, evaluations=10)


def fast(**given: object) -> dict[str, object]:
    """Sampler and steps of `FAST`; `given` are options that would make it something else, None where they are not.

    `UserError` where one is given: what was measured is the whole.
    """
    clash = [f"--{_option(name)}" for name, value in given.items() if value is not None]
    if clash:
        raise UserError(f"--fast is a sampler and a number of steps itself: leave out {', '.join(clash)}, or --fast")
    return {"sampler": FAST.sampler, "steps": FAST.steps}


def _option(name: str) -> str:
    return name.replace("_", "-")
