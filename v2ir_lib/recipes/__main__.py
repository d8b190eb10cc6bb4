"""`python -m v2ir_lib.recipes [STAGE ...]`: train the stand-ins and the three phases from nothing."""

import importlib
import json
import sys
import tempfile
from pathlib import Path

import typer

from v2ir_lib.errors import UserError
from v2ir_lib.recipes import STAGES

SMOKE_STEPS, SMOKE_SCENES = 3, 8


def is_complete(name: str, run) -> bool:
    """Whether that stage's record says that it was trained to the end with these settings."""
    try:
        record = json.loads((run.results / "recipes" / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    enough = record["complete"] if run.steps is None else record["steps"] == run.steps
    return enough and record["provenance"]["seed"] == run.seed


def run_stages(names: list[str], run, again: bool = False) -> None:
    """Run those stages in the table's order, skipping the complete ones unless `again`."""
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise UserError(f"no stage {unknown[0]!r}: choose from {', '.join(STAGES)}")
    for name in [name for name in STAGES if not names or name in names]:
        if not again and is_complete(name, run):
            print(f"{name}: complete (--again trains it anew)")
            continue
        module, function = STAGES[name].split(":")
        getattr(importlib.import_module(module), function)(run)


def main(
    stages: list[str] = typer.Argument(None, help="Stages to run; all if none is named."),
    show: bool = typer.Option(False, "--list", help="List the stages and what is complete, and stop."),
    steps: int = typer.Option(None, min=1, help="Steps of every stage, in place of its own number."),
    threads: int = typer.Option(None, min=1, help="CPU threads; all cores if not given."),
    out: Path = typer.Option(None, help="Folder for models/, results/ and work/, in place of the repository's own."),
    seed: int = typer.Option(0, help="Seed of everything random."),
    again: bool = typer.Option(False, help="Train complete stages anew."),
    smoke: bool = typer.Option(False, help="A few steps of every stage on a few scenes, into a temporary folder."),
) -> None:
    """Train the shipped weights from nothing: the stand-ins, then the three phases; then measure the stand-ins.

    Example: python -m v2ir_lib.recipes autoencoder words --threads 2
    """
    import torch

    from v2ir_lib.recipes.stage import Run

    if threads:
        torch.set_num_threads(threads)
    run = Run(seed=seed, steps=steps)
    if smoke:
        run.steps, run.limit = steps or SMOKE_STEPS, SMOKE_SCENES
        out = out or Path(tempfile.mkdtemp(prefix="v2ir_smoke_"))
        print(f"smoke run into {out}")
    if out:
        run.models, run.results, run.work = out / "models" / "tiny", out / "results", out / "work"
    if show:
        for name in STAGES:
            print(f"{name:12s} {'complete' if is_complete(name, run) else 'to do'}")
        return
    try:
        run_stages(stages or [], run, again)
        if not stages:
            importlib.import_module("v2ir_lib.recipes.measure").measure(run)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt as interruption:
        print(interruption, file=sys.stderr)
        raise typer.Exit(130) from None


if __name__ == "__main__":
    typer.run(main)
