"""`python -m v2ir_lib.evaluation.tables` (`make tables`): every result that the shipped weights decide, made again.

A result carries the hashes of the weights that it came from. One whose hashes are those of models/tiny/ now is left
alone; every other is made again by its own command, in an order in which nothing needs what comes after it. Each of
these commands keeps what it has done, so stop it at will: it continues.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import typer

from v2ir_lib.diffusion.folders import pipeline_hash
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.ablations.budgets import BUDGETS
from v2ir_lib.evaluation.ablations.figure import read_comment
from v2ir_lib.evaluation.ablations.lab import Lab
from v2ir_lib.evaluation.ablations.plan import in_words, plan
from v2ir_lib.evaluation.ablations.tables import EVERYTHING, TABLES
from v2ir_lib.files import repo_root, sha256
from v2ir_lib.weights import folder_hash, read_json

RESULTS, MODELS = repo_root() / "results", repo_root() / "models" / "tiny"
REAL = repo_root().parent / "shared" / "real_pairs"
HERE = "v2ir_lib.evaluation"


@dataclass(frozen=True)
class Made:
    """A result below results/, and the module and options that make it; "{real}" is the folder of real pairs.

    `minutes`: about, by the runs that made what is committed, on two cores that had other work too.
    """

    name: str
    command: tuple[str, ...]
    minutes: float | None = None

    @property
    def needs_real(self) -> bool:
        """Whether it looks at real pairs, which are nobody's to ship."""
        return any("{real}" in word for word in self.command)

    def words(self, real: Path) -> list[str]:
        """What to run, behind `python -m`."""
        return [word.replace("{real}", str(real)) for word in self.command]


def _ablation(name: str) -> Made:
    return Made(f"{name}.json", ("v2ir_lib.cli", "ablate", name, "--rows", EVERYTHING))


ALL = (  # the first one chooses the shipped model's own scales and steps, which all that follow use
    Made("quickstart.json", (f"{HERE}.quickstart", "--set-defaults", "--real", "{real}/roadscene/visible"), 20),
    Made("standins.json", ("v2ir_lib.recipes.measure",), 5),
    Made("fd_tiny.json", (f"{HERE}.fd_validity",), 2),
    Made("probe.json", (f"{HERE}.probe",), 5),
    Made("measuring.json", (f"{HERE}.measuring",), 40),
    Made("sampling.json", (f"{HERE}.sampling_curve",), 90),
    _ablation("table4"),
    _ablation("conditions"),
    Made("detector.json", (f"{HERE}.detector",)),
    Made("train_in_turn.json", (f"{HERE}.in_turn",), 60),
    Made("table1.json", (f"{HERE}.table1",), 80),
    Made("real_phase3.json", (f"{HERE}.real_phase3", "--manifest", "{real}/manifest.csv"), 90),
    _ablation("table3"),
    Made("figures/table3.jpg", (f"{HERE}.ablations.figure",), 3),
)
WITHOUT_WEIGHTS = {  # results that other weights of the same size would not change
    "bench.json": "speed",
    "bench_cache.json": "speed",
    "bench_world.json": "speed of the renderer",
    "data_scale.json": "speed and memory of the data tools",
    "full_size.json": "arithmetic of the full size",
    "full_work.json": "operations of the full size",
    "memory.json": "memory of training, by shapes",
    "stream_decode.json": "speed of decoding",
}


def hashes_of(report: dict) -> dict[str, str]:
    """What a result says of the weights that it came from: a file, a folder or "pipeline" → its SHA-256.

    Beside `weights_sha256` there are a probe's `models` and the folder of the features behind FD-tiny.
    """
    told = {**report.get("provenance", {}).get("weights_sha256", {}), **report.get("models", {})}
    features = report.get("features", {})
    return told | ({Path(features["folder"]).name: features["sha256"]} if "sha256" in features else {})


def hash_now(name: str, models: Path = MODELS) -> str | None:
    """Of what a result calls by that name, as it is in models/tiny/; None where there is no such thing."""
    if name == "pipeline":
        return pipeline_hash(models / "diffv2ir")
    for path in (models / name, models / "diffv2ir" / name):
        if path.exists():
            return sha256(path) if path.is_file() else folder_hash(path)
    return None


def outdated(told: dict[str, str], now: Callable[[str], str | None] = hash_now) -> list[str]:
    """The weights of which a result names another hash than there is now."""
    return sorted(name for name, value in told.items() if value != now(name))


def why(made: Made, results: Path = RESULTS, now: Callable[[str], str | None] = hash_now) -> str | None:
    """Why a result must be made again, in a few words; None where it is current."""
    path = results / made.name
    if not path.is_file():
        return "is not there"
    if path.suffix == ".jpg":
        return _why_strip(path)
    told = hashes_of(read_json(path))
    if not told:
        return "carries no hash of its weights"
    if changed := outdated(told, now):
        return f"is of other weights: {', '.join(changed)}"
    if path.stem in TABLES:
        lacking = len(to_do(path.stem, results))
        return f"lacks {lacking} trainings or rows" if lacking else None
    return None


def _why_strip(path: Path) -> str | None:
    lab, table = Lab(BUDGETS["paper"]), TABLES["table3"]
    told = read_comment(path)
    rows = {row.name: row for row in table.select(EVERYTHING)}
    old = [name for name, key in told["keys"].items() if key != lab.row_key(rows[name], told["seed"])]
    return f"shows rows of other weights or settings: {', '.join(old)}" if old else None


def to_do(name: str, results: Path = RESULTS) -> list:
    """The jobs that a table of ablations still lacks, in all rows and seeds."""
    budget = BUDGETS["paper"]
    return plan(Lab(budget), TABLES[name].select(EVERYTHING), list(range(budget.seeds)), results / name)


def seconds_of(made: Made, results: Path = RESULTS) -> float | None:
    """About how long it takes."""
    stem = Path(made.name).stem
    if made.name.endswith(".json") and stem in TABLES:
        return sum(job.seconds for job in to_do(stem, results))
    return made.minutes and made.minutes * 60


def chosen(names: str | None) -> list[Made]:
    """The results of a list such as "table4,probe", in order; without one, all. `UserError` for a name that is none."""
    known = {Path(made.name).with_suffix("").as_posix(): made for made in ALL}
    asked = list(known) if names is None else [name.strip() for name in names.split(",") if name.strip()]
    for name in asked:
        if name not in known:
            raise UserError(f"no result {name!r}: choose among {', '.join(known)}")
    return [made for name, made in known.items() if name in asked]


def make(names: str | None, real: Path, *, dry_run: bool, run: Callable[[list[str]], int]) -> list[str]:
    """Make what is not current, each in a process of its own; the names of those that could not be made."""
    reasons = {made: why(made) for made in chosen(names)}
    for made in (made for made, reason in reasons.items() if not reason):
        print(f"current: results/{made.name}")
    waiting = {made: reason for made, reason in reasons.items() if reason}
    failed = []
    for number, (made, reason) in enumerate(waiting.items(), start=1):
        takes = seconds_of(made)
        about = f"about {in_words(takes)}" if takes else "time not known"
        words = made.words(real)
        print(f"[{number}/{len(waiting)}] results/{made.name} {reason}; {about}")
        print(f"    python -m {' '.join(words)}", flush=True)
        if made.needs_real and not real.is_dir():
            print(f"    left out: it needs real pairs, and {real} is not there; name their folder with --real")
            failed.append(made.name)
        elif not dry_run and run(words):
            failed.append(made.name)
    return failed


def _run(words: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", *words], cwd=repo_root()).returncode


def main(
    only: str = typer.Option(None, help="Results, such as table4,probe; all if not given."),
    real: Path = typer.Option(REAL, help="Folder of real pairs: manifest.csv, roadscene/visible."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show what would be made, why, and how long it takes."),
) -> None:
    """Make every result again that is not of the weights in models/tiny/. Stop it at will: it continues.

    Example: python -m v2ir_lib.evaluation.tables --dry-run
    """
    try:
        failed = make(only, real, dry_run=dry_run, run=_run)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    if failed:
        print(f"error: not made: {', '.join(failed)}; what they said is above", file=sys.stderr)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
