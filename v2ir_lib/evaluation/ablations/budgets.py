"""How much of a table is run: a look that all parts work, a few minutes, or the real thing."""

from dataclasses import dataclass

from v2ir_lib.errors import UserError


@dataclass(frozen=True)
class Budget:
    """Scenes, training steps and seeds. Only "paper" gives figures that mean something."""

    name: str
    scenes: int | None  # of each training pack; None: all
    heldout: int | None  # scenes that are translated and scored
    steps: dict[str, int]  # of each phase
    seeds: int


BUDGETS = {
    budget.name: budget
    for budget in (
        Budget("check", 2, 4, {"phase1": 1, "phase2": 2, "phase3": 1}, 1),
        Budget("learn", 64, 32, {"phase1": 10, "phase2": 80, "phase3": 20}, 1),
        Budget("paper", None, None, {"phase1": 150, "phase2": 1500, "phase3": 350}, 3),
    )
}


def get_budget(name: str) -> Budget:
    """The budget of that name; `UserError` for any other."""
    if name not in BUDGETS:
        raise UserError(f"unknown budget {name!r}: choose one of {', '.join(BUDGETS)}")
    return BUDGETS[name]
