"""`v2ir ablate`: the paper's tables of ablations at our size (paper §5.3 and Table 1)."""

import json
from pathlib import Path
from typing import Annotated

import typer

from v2ir_lib.cli.options import AsJson

ablate = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Rows = Annotated[str | None, typer.Option(help="Rows, such as 1,9; all: the ones that the paper lacks, too.")]
Seeds = Annotated[
    int | None, typer.Option(help="So many seeds: 0, 1, …; without it, as many as docs/analysis_plan.md says.")
]
Budget = Annotated[str, typer.Option(help="check (a look that all works), learn (minutes) or paper (the real thing).")]
Out = Annotated[
    Path | None, typer.Option(help="Folder of results; without it results/, or out/ablations/ for the small budgets.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and about how long it takes.")]

WHAT = {
    "table3": """Phases and VLUM on and off: trains every row, shared phases once, and compares.

    What is done is kept: stop it at will, the same command goes on. Extra rows: edges, union, oracle, placebo,
    instructpix2pix, unet.

    Example:  v2ir ablate table3 --rows 1,9 --budget check
    """,
    "table4": """Steps and guidance scales of the shipped model around its own best, and the paper's as they stand.

    Example:  v2ir ablate table4 --seeds 1
    """,
    "conditions": """The shipped model told the truth, another scene's words and segments, or nothing.

    Example:  v2ir ablate conditions --rows "as trained,shuffled words"
    """,
}


def _command(name: str) -> None:
    def command(
        rows: Rows = None,
        seeds: Seeds = None,
        budget: Budget = "paper",
        out: Out = None,
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> int:
        from v2ir_lib.evaluation.ablations.command import ablate as run

        _print(*run(name, rows=rows, seeds=seeds, budget=budget, out=out, dry_run=dry_run), as_json)
        return 0

    ablate.command(name, help=WHAT[name])(command)


for _name in WHAT:
    _command(_name)


@ablate.command("table1")
def table1(seeds: Seeds = None, budget: Budget = "paper", out: Out = None, as_json: AsJson = False) -> int:
    """What leakage adds: the same test frames, training sets with and without their siblings.

    Example:  v2ir ablate table1 --budget check
    """
    from v2ir_lib.evaluation.ablations.command import ablate_table1

    _print(*ablate_table1(seeds=seeds, budget=budget, out=out), as_json)
    return 0


def _print(report: dict, lines: list[str], as_json: bool) -> None:
    print(json.dumps(report, indent=2, ensure_ascii=False) if as_json else "\n".join(lines))
