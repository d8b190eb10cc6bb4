"""What `v2ir ablate` does: choose rows, seeds and a budget, plan, run, show."""

from dataclasses import replace
from pathlib import Path

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.ablations.budgets import get_budget
from v2ir_lib.evaluation.ablations.engine import run_table
from v2ir_lib.evaluation.ablations.lab import Lab
from v2ir_lib.evaluation.ablations.plan import plan
from v2ir_lib.evaluation.ablations.show import plan_lines, table_lines
from v2ir_lib.evaluation.ablations.tables import TABLES
from v2ir_lib.files import repo_root

# Table 1 has an experiment of its own: sequences, and two training sets that differ in what they leak
LEAKAGE = {
    "check": dict(sequences=4, steps=4, seeds=1, longer=0),
    "learn": dict(sequences=12, steps=20, seeds=1, longer=0),
    "paper": dict(sequences=96, steps=400, seeds=3, longer=1200),
}


def results_folder(budget: str, out: Path | None) -> Path:
    """Where results go: `out`, or results/ for the real thing, and a folder that is not committed for all else."""
    root = repo_root()
    return out or (root / "results" if budget == "paper" else root / "out" / "ablations" / budget)


def ablate(
    name: str,
    *,
    rows: str | None = None,
    seeds: int | None = None,
    budget: str = "paper",
    out: Path | None = None,
    dry_run: bool = False,
) -> tuple[dict, list[str]]:
    """Run a table of `TABLES`, or only plan it: a report, or the plan, and what to print of it.

    `UserError` for unknown rows or budget, or fewer than one seed.
    """
    chosen, table = get_budget(budget), TABLES[name]
    count = chosen.seeds if seeds is None else seeds
    if count < 1:
        raise UserError(f"--seeds is {count}: give 1 or more")
    lab, picked, folder = Lab(chosen), table.select(rows), results_folder(budget, out)
    if seeds is not None:
        picked = [replace(row, seeds=None) for row in picked]  # what is asked for goes before what the plan asks
    if dry_run:
        jobs = plan(lab, picked, list(range(count)), folder / name)
        told = [{"what": job.label, "seconds": round(job.seconds, 1)} for job in jobs]
        return {"jobs": told, "seconds": round(sum(job.seconds for job in jobs), 1)}, plan_lines(jobs)
    report = run_table(table, lab, picked, list(range(count)), folder)
    return report, [*table_lines(table, report), f"wrote {folder / name}.json"]


def ablate_table1(
    *, seeds: int | None = None, budget: str = "paper", out: Path | None = None
) -> tuple[dict, list[str]]:
    """Table 1's experiment, `evaluation.table1`, at a budget's size: its report and what to print of it."""
    from v2ir_lib.evaluation import table1

    chosen, folder = LEAKAGE[get_budget(budget).name], results_folder(budget, out)
    if seeds is not None:
        chosen = chosen | {"seeds": seeds}
    report = table1.measure(folder, **chosen)
    return report, [*table1.summary(report), f"wrote {folder / 'table1.json'}"]
