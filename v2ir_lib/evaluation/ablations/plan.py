"""What is still to be done for some rows and seeds, in which order, and about how long it takes."""

import time
from dataclasses import dataclass
from pathlib import Path

from v2ir_lib.diffusion.guidance import branches
from v2ir_lib.evaluation.ablations.lab import Lab
from v2ir_lib.evaluation.ablations.records import read_record, record_path
from v2ir_lib.evaluation.ablations.rows import Row, Stage, last_stage
from v2ir_lib.evaluation.ablations.stages import is_trained
from v2ir_lib.files import repo_root
from v2ir_lib.weights import read_json
from v2ir_lib.world.packs import PACKS

# Seconds on one thread of the machine in results/recipes/; a step's come from there.
EVALUATION, DECODING = 0.010, 0.037  # of one picture: by the UNet, for one branch of one step; by the decoder


@dataclass(frozen=True)
class Job:
    """One thing to do: train a stage, or translate and score a row."""

    what: Stage | Row
    seed: int
    seconds: float  # estimated
    label: str


def plan(lab: Lab, rows: list[Row], seeds: list[int], folder: Path) -> list[Job]:
    """The jobs whose results are not there yet: seed by seed, and each row as soon as its stages are trained."""
    jobs: list[Job] = []
    for seed in seeds:
        wanted = [row for row in rows if row.seeds is None or seed < row.seeds]
        users = {}
        for row in wanted:
            for stage in _chain(row, seed):
                users.setdefault(stage, []).append(row.name)
        planned = set()
        for row in wanted:
            if read_record(record_path(folder, row, seed), lab.row_key(row, seed)) is not None:
                continue
            for stage in _needed(lab, row, seed):
                if stage not in planned:
                    planned.add(stage)
                    jobs.append(Job(stage, seed, training_seconds(lab, stage), _label(stage, users[stage])))
            label = f"row {row.name}: {row.about}, seed {seed}: translations"
            jobs.append(Job(row, seed, sampling_seconds(lab, row), label))
    return jobs


def training_seconds(lab: Lab, stage: Stage) -> float:
    """About what a stage takes, by what a step of that phase took when the shipped weights were made."""
    recipe = read_json(repo_root() / "results" / "recipes" / f"{stage.phase}.json")
    return lab.budget.steps[stage.phase] * recipe["seconds_per_step"]


def sampling_seconds(lab: Lab, row: Row) -> float:
    """About what translating the held-out scenes takes."""
    scenes = lab.budget.heldout or PACKS["heldout"].count
    guidance = row.guidance
    asked = branches(guidance.s_text, guidance.s_visible, guidance.s_segments, chain=row.told.chain)
    evaluations = 1 if row.network == "regression" else guidance.steps * len(asked)
    return scenes * (evaluations * EVALUATION + DECODING)


class Clock:
    """How much time is left: the estimate of what is to be done, at the pace of what was done."""

    def __init__(self, jobs: list[Job]):
        self.left = sum(job.seconds for job in jobs)
        self.estimated = self.taken = 0.0
        self.begun = time.monotonic()

    def done(self, job: Job) -> None:
        """A job has just ended."""
        now = time.monotonic()
        self.taken, self.begun = self.taken + now - self.begun, now
        self.left, self.estimated = self.left - job.seconds, self.estimated + job.seconds

    def seconds_left(self) -> float:
        """Of all jobs that are not done."""
        return self.left * (self.taken / self.estimated if self.estimated else 1.0)


def in_words(seconds: float) -> str:
    """ "40 s", "12 min" or "2 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _chain(row: Row, seed: int) -> list[Stage]:
    stage = last_stage(row, seed)
    return stage.chain() if stage else []


def _needed(lab: Lab, row: Row, seed: int) -> list[Stage]:
    """The stages of a row that are not trained: from the first one after the last that is."""
    chain = _chain(row, seed)
    trained = [number for number, stage in enumerate(chain, start=1) if is_trained(lab, stage)]
    return chain[max(trained, default=0) :]


def _label(stage: Stage, rows: list[str]) -> str:
    after = f" after {stage.after.phase}" if stage.after else ""
    told = "" if stage.told is None else f", words {stage.told.words}, maps {stage.told.maps}"
    shared = f"row{'s' * (len(rows) > 1)} {', '.join(rows)}"
    network = "U-Net, L1, " if stage.network == "regression" else ""
    return f"{network}{stage.phase}{after}{told}, seed {stage.seed}, for {shared}"
