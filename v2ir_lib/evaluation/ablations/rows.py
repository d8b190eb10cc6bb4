"""The rows of all tables, as data: what is trained, what the UNet is told, and how it samples.

Two rows differ in their flags and in nothing else. They run through the same code, on the same scenes, with the same
draws of batches, crops, cameras, timesteps and noise, for these are keyed by seed and sample (`plm.draws`).
"""

from dataclasses import dataclass, replace

from v2ir_lib.evaluation.paper_tables import PAPER_BEST
from v2ir_lib.profiles import TINY, Guidance

WORDS = ("none", "captions", "true", "shuffled", "constant", "instruction")
MAPS = ("none", "regions", "edges", "union", "true", "shuffled")
BEST = TINY.guidance


@dataclass(frozen=True)
class Told:
    """What the UNet is told beside the visible picture, in training and in sampling alike; see `telling.py`."""

    words: str = "none"
    maps: str = "none"

    def __post_init__(self):
        if self.words not in WORDS or self.maps not in MAPS:
            raise ValueError(f"words are one of {WORDS} and maps of {MAPS}, not {self.words!r} and {self.maps!r}")

    @property
    def chain(self) -> tuple[str, ...]:
        """The conditions of Eq. 2 that are there, in the paper's order.

        One that is absent has a scale that multiplies zero; leaving it out of the chain gives the same sum.
        """
        parts = {"visible": True, "segments": self.maps != "none", "text": self.words != "none"}
        return tuple(name for name, there in parts.items() if there)


VLUM = Told("captions", "regions")  # the full method's, and the shipped model's


@dataclass(frozen=True)
class Row:
    """One row. `phases` are those trained for it, in turn, from the base model; None: the shipped model as it is.

    `seeds`: so many, where no number is asked for; None: the budget's.
    """

    name: str
    about: str
    phases: tuple[str, ...] | None = None
    told: Told = VLUM
    guidance: Guidance = BEST
    network: str = "diffusion"  # or "regression", see `evaluation.regression`
    seeds: int | None = None


@dataclass(frozen=True)
class Stage:
    """One phase of a training, after another or after the base model. Equal stages are trained once, for all rows."""

    phase: str
    seed: int
    told: Told | None  # phase 1 is told nothing but its prompt
    network: str = "diffusion"
    after: "Stage | None" = None

    @property
    def begins_with_pairs(self) -> bool:
        """Whether it is the first to see visible pictures: their channels are still zero."""
        return self.phase != "phase1" and (self.after is None or self.after.phase == "phase1")

    def chain(self) -> list["Stage"]:
        """All stages up to this one, the first first."""
        return [*(self.after.chain() if self.after else []), self]


def last_stage(row: Row, seed: int) -> Stage | None:
    """What a row's model comes from; None for the shipped one."""
    stage = None
    for phase in row.phases or ():
        stage = Stage(phase, seed, None if phase == "phase1" else row.told, row.network, stage)
    return stage


ALL = ("phase1", "phase2", "phase3")
PAIRS = ("phase2", "phase3")
INSTRUCTION = "turn the visible image into infrared"  # of InstructPix2Pix: the template without a caption
CONSTANT = "a street by day in summer under a clear sky seen from a car, with a person, a car and trees"

TABLE3 = (  # paper, Table 3; rows without VLUM are told the visible picture alone, their text is that of ""
    Row("1", "phase 2", ("phase2",), Told()),
    Row("2", "phases 1, 2", ("phase1", "phase2"), Told()),
    Row("3", "phase 3", ("phase3",), Told()),
    Row("4", "phases 1, 3", ("phase1", "phase3"), Told()),
    Row("5", "phases 2, 3", PAIRS, Told()),
    Row("6", "phases 1, 2, 3", ALL, Told()),
    Row("7", "phases 1, 2, 3 and words", ALL, Told("captions", "none")),
    Row("8", "phases 1, 2, 3 and segments", ALL, Told("none", "regions")),
    Row("9", "the full method, with both", ALL),
)
_LACKING = (  # rows that the paper lacks, trained like row 9
    Row("edges", "row 9, maps of boundaries alone", ALL, Told("captions", "edges")),
    Row("union", "row 9, maps as the authors release them", ALL, Told("captions", "union")),
    Row("oracle", "row 9, true captions and true masks", ALL, Told("true", "true")),
    Row("placebo", "row 9, another scene's caption and map", ALL, Told("shuffled", "shuffled")),
    Row("instructpix2pix", "InstructPix2Pix: pairs, an instruction, no maps", PAIRS, Told("instruction", "none")),
    Row("unet", "a plain U-Net with L1 on the same pairs", PAIRS, Told(), network="regression"),
)
EXTRA = tuple(replace(row, seeds=1) for row in _LACKING)  # each is a training of its own, a quarter of an hour


def _at(**changes: float) -> Guidance:
    return replace(BEST, **changes)


def _varied(name: str, printed: float) -> Guidance:
    """Our best setting, changed in one place by the ratio in which the paper changes its own."""
    value = getattr(BEST, name) * printed / PAPER_BEST[name]
    return _at(**{name: round(value) if name == "steps" else round(value, 6)})


_VARIED = {  # Table 4's ten distinct settings, by the paper's figures
    **{f"steps {n}": ("steps", n) for n in (50, 150, 200)},
    **{f"s_T {s}": ("s_text", s) for s in (5.0, 10.0)},
    **{f"s_V {s}": ("s_visible", s) for s in (1.0, 2.0)},
    **{f"s_S {s}": ("s_segments", s) for s in (1.0, 2.0)},
}


def _said(guidance: Guidance) -> str:
    scales = f"s_T {guidance.s_text:g}, s_V {guidance.s_visible:g}, s_S {guidance.s_segments:g}"
    return f"{guidance.steps} steps, {scales}"


_BY_PAPER = _at(**{name: PAPER_BEST[name] for name in ("s_text", "s_visible", "s_segments")})
TABLE4 = (  # the shipped model; the last one has the paper's scales as they stand
    Row("best", _said(BEST)),
    *(Row(name, _said(_varied(*what)), guidance=_varied(*what)) for name, what in _VARIED.items()),
    Row("paper's scales", _said(_BY_PAPER), guidance=_BY_PAPER),
)
HUNDRED = (  # the paper's scales with its steps: as long as all the others together
    Row("paper's scales and steps", _said(Guidance(**PAPER_BEST)), guidance=Guidance(**PAPER_BEST), seeds=1),
)
CONDITIONS = (  # the shipped model, told something else than it was trained with: what does it listen to?
    Row("as trained", "BLIP's captions, SAM's regions"),
    Row("true words", "true captions", told=Told("true", "regions")),
    Row("true maps", "true masks", told=Told("captions", "true")),
    Row("true both", "true captions and masks", told=Told("true", "true")),
    Row("shuffled words", "another scene's caption", told=Told("shuffled", "regions")),
    Row("shuffled maps", "another scene's map", told=Told("captions", "shuffled")),
    Row("shuffled both", "another scene's caption and map", told=Told("shuffled", "shuffled")),
    Row("constant words", "one caption for all", told=Told("constant", "regions")),
    Row("no words", "no caption", told=Told("none", "regions")),
    Row("no maps", "no map", told=Told("captions", "none")),
    Row("neither", "the visible picture alone", told=Told()),
    Row("edges", "boundaries in place of regions", told=Told("captions", "edges")),
    Row("union", "the released map in place of regions", told=Told("captions", "union")),
)
