"""How one notebook's run went, and how long it should have taken."""

from dataclasses import dataclass, field

from v2ir_lib.tutorial.drift import Drift

BUDGETS = {"check": 60.0, "learn": 180.0, "paper": None}
"""Seconds that one notebook should take at most on two cores, start of the kernel and imports included; None: any."""

PATIENCE = 4
"""Times its budget, and a notebook hangs: it is killed. Before that, a slow machine would be taken for a fault."""


@dataclass
class Outcome:
    """How one notebook went."""

    name: str  # file name without .ipynb
    error: str = ""  # one line, "" when it passed
    cell: int | None = None  # counted from 1, in the notebook as it is in the repository
    seconds: float = 0.0
    aim: float | None = None  # seconds that it should take at most
    peak_memory: int = 0  # bytes, the kernel and its children
    figures: dict = field(default_factory=dict)
    drifts: list[Drift] | None = None  # None: not compared, as it failed or nothing is known

    @property
    def ok(self) -> bool:
        """It ran to its end, under the rules; its figures may have drifted."""
        return not self.error

    @property
    def slow(self) -> bool:
        """It took longer than it should."""
        return self.ok and self.aim is not None and self.seconds > self.aim

    @property
    def status(self) -> str:
        """ok, drifted or failed."""
        return "failed" if self.error else "drifted" if self.drifts else "ok"

    def as_dict(self) -> dict:
        """For JSON."""
        return {
            "status": self.status,
            "error": self.error,
            "cell": self.cell,
            "seconds": round(self.seconds, 1),
            "peak_memory_mb": round(self.peak_memory / 2**20),
            "figures": self.figures,
            "drifts": None if self.drifts is None else [drift.as_dict() for drift in self.drifts],
        }
