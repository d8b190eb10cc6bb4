"""A table with pretended trainings and translations: what runs, what is kept, and what is run again."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.ablations import engine, plan, stages
from v2ir_lib.evaluation.ablations.budgets import BUDGETS
from v2ir_lib.evaluation.ablations.engine import run_table
from v2ir_lib.evaluation.ablations.lab import Lab
from v2ir_lib.evaluation.ablations.plan import Clock, Job, in_words
from v2ir_lib.evaluation.ablations.rows import Row
from v2ir_lib.evaluation.ablations.show import plan_lines, table_lines
from v2ir_lib.evaluation.ablations.tables import TABLES

TABLE = TABLES["table3"]


class Pretended:
    """Counts what is done in place of training and translating."""

    def __init__(self, monkeypatch, tmp_path):
        self.trained, self.translated, self.fails_at = [], [], None
        self.lab = Lab(BUDGETS["check"])
        truth = np.random.default_rng(0).integers(0, 255, (8, 16, 16)).astype(np.uint8)
        groups = {"all": np.arange(8), "night": np.arange(3)}
        pack = SimpleNamespace(name="heldout")
        self.lab.heldout = Heldout(pack, "lwir-radiometric", truth, groups)
        self.lab.weights = {"base_unet": "0" * 64}
        monkeypatch.setattr(engine, "train_stage", self.train)
        monkeypatch.setattr(engine, "translations", self.translate)
        for module in (plan, stages):
            monkeypatch.setattr(module, "is_trained", lambda lab, stage: stage in self.trained)
        self.out = tmp_path

    def train(self, lab, stage):
        if stage not in self.trained:
            self.trained.append(stage)
        return {"phase": stage.phase, "steps": 1, "seconds": 0.1}

    def translate(self, lab, row, seed):
        if row.name == self.fails_at:
            raise KeyboardInterrupt
        self.translated.append((row.name, seed))
        noise = np.random.default_rng([seed, int(row.name, 36)]).normal(0, 40 - 3 * int(row.name, 36), (8, 16, 16))
        return np.clip(lab.heldout.infrared + noise, 0, 255).astype(np.uint8)

    def run(self, names: str, seeds: int = 1) -> dict:
        return run_table(TABLE, self.lab, TABLE.select(names), list(range(seeds)), self.out)


class Heldout(SimpleNamespace):
    def __init__(self, pack, camera, infrared, groups):
        super().__init__(pack=pack, camera=camera, infrared=infrared, groups=lambda: groups)

    def __len__(self):
        return len(self.infrared)


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    return Pretended(monkeypatch, tmp_path)


def test_a_second_run_does_nothing(pretended):
    first = pretended.run("1,5,9", seeds=2)
    assert len(pretended.translated) == 6 and len(pretended.trained) == 2 * (1 + 1 + 3), "rows 1 and 5 share phase 2"
    written = (pretended.out / "table3.json").read_bytes()
    second = pretended.run("1,5,9", seeds=2)
    assert len(pretended.translated) == 6 and second["rows"] == first["rows"]
    assert (pretended.out / "table3.json").read_bytes() == written, "reading results does not touch them"
    (pretended.out / "table3.json").unlink()  # as if it was killed between a row and its report
    pretended.run("1,5,9", seeds=2)
    assert json.loads((pretended.out / "table3.json").read_text())["rows"] == first["rows"]
    assert [row["row"] for row in first["rows"]] == ["1", "5", "9"] and first["rows"][0]["seeds"] == [0, 1]
    contrast = next(one for one in first["contrasts"] if one["about"] == "phase 3 after phase 2")
    assert (contrast["row"], contrast["minus"]) == ("5", "1") and contrast["psnr"]["all"]["mean"] > 0
    assert first["provenance"]["weights_sha256"] == {"base_unet": "0" * 64}


def test_interrupted_it_goes_on(pretended):
    pretended.fails_at = "5"
    with pytest.raises(KeyboardInterrupt):
        pretended.run("1,5,9")
    there = json.loads((pretended.out / "table3.json").read_text())
    assert [row["row"] for row in there["rows"]] == ["1"] and (pretended.out / "table3" / "1-0.json").is_file()
    pretended.fails_at = None
    report = pretended.run("1,5,9")
    assert pretended.translated == [("1", 0), ("5", 0), ("9", 0)] and len(report["rows"]) == 3


@pytest.mark.parametrize("change", ["weights", "budget"])
def test_results_of_other_weights_or_sizes_are_not_taken(pretended, change):
    pretended.run("1")
    if change == "weights":
        pretended.lab.weights = {"base_unet": "1" * 64}
    else:
        pretended.lab.budget = BUDGETS["learn"]
    pretended.trained.clear()
    assert len(plan.plan(pretended.lab, TABLE.select("1"), [0], pretended.out / "table3")) == 2
    report = pretended.run("1")
    assert pretended.translated == [("1", 0), ("1", 0)] and len(report["rows"]) == 1


def test_a_row_that_is_wanted_once_is_planned_once(pretended):
    """The hundred steps of Table 4: the analysis plan has one seed of them."""
    jobs = plan.plan(pretended.lab, TABLES["table4"].select("best,paper's scales and steps"), [0, 1, 2], pretended.out)
    assert [(job.what.name, job.seed) for job in jobs] == [
        ("best", 0),
        ("paper's scales and steps", 0),
        ("best", 1),
        ("best", 2),
    ]


def test_the_plan_has_a_shared_stage_once_and_starts_after_the_last_trained_one(pretended):
    jobs = plan.plan(pretended.lab, list(TABLE.rows), [0], pretended.out / "table3")
    assert sum(isinstance(job.what, Row) for job in jobs) == 9 and len(jobs) == 9 + 13
    assert [job.label for job in jobs][:3] == [
        "phase2, words none, maps none, seed 0, for rows 1, 5",
        "row 1: phase 2, seed 0: translations",
        "phase1, seed 0, for rows 2, 4, 6, 7, 8, 9",
    ]
    last = next(job.what for job in jobs if not isinstance(job.what, Row) and job.what.phase == "phase3")
    pretended.trained.append(last)  # what came before it may be gone from the cache
    again = plan.plan(pretended.lab, TABLE.select("3"), [0], pretended.out / "table3")
    assert [job.label for job in again] == ["row 3: phase 3, seed 0: translations"]
    assert plan_lines(jobs)[-1].endswith("what is in the cache is left out") and len(plan_lines(jobs)) == 23


def test_keys_tell_everything_apart_that_decides_a_row(pretended):
    lab = pretended.lab
    rows = [row for table in TABLES.values() for row in table.select("all")]
    keys = {lab.row_key(row, seed) for row in rows for seed in (0, 1)}
    assert len(keys) == 2 * (len(rows) - 1), "best and as trained are one row; all others differ"
    folders = {lab.folder(engine.last_stage(row, 0)) for row in TABLE.select("all")}
    assert len(folders) == len(TABLE.select("all"))


def test_phase_3_alone_learns_at_the_rates_of_phase_2(pretended):
    profile = pretended.lab.profile
    by_row = {row.name: pretended.lab.phase(engine.last_stage(row, 0)).settings for row in TABLE.select("3,4,5,unet")}
    for name in ("3", "4"):
        assert by_row[name].learning_rate == profile.phase2.learning_rate and by_row[name].first_rate == 10
    for name in ("5", "unet"):
        assert by_row[name].learning_rate == profile.phase3.learning_rate and by_row[name].first_rate == 1
    assert {settings.steps for settings in by_row.values()} == {BUDGETS["check"].steps["phase3"]}


def test_the_time_left_follows_the_pace(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(plan.time, "monotonic", lambda: now[0])
    jobs = [Job(None, 0, seconds, "") for seconds in (10, 20, 30)]
    clock = Clock(jobs)
    assert clock.seconds_left() == 60
    now[0] = 20.0  # the first took twice as long as estimated
    clock.done(jobs[0])
    assert clock.seconds_left() == 100
    assert [in_words(s) for s in (40, 720, 7500)] == ["40 s", "12 min", "2 h 05 min"]


def test_rows_are_chosen_by_name():
    assert [row.name for row in TABLE.select(" 9, 1")] == ["1", "9"]
    assert len(TABLE.select(None)) == 9 and len(TABLE.select("all")) == 15
    with pytest.raises(UserError, match="no row '10': choose among 1, 2"):
        TABLE.select("1,10")
    with pytest.raises(UserError, match="no rows are named"):
        TABLE.select(",")
    for table in TABLES.values():
        known = {row.name for row in table.select("all")}
        assert table.reference in known and set(table.printed) <= known
        assert all({ours, theirs} <= known for _, ours, theirs in table.contrasts)


def test_the_table_shows_ours_and_the_papers_in_columns_of_their_own(pretended):
    lines = table_lines(TABLE, pretended.run("1,9"))
    ours, theirs = next(line for line in lines if line.startswith("9 ")).split("|")
    assert "19.30" in theirs and "70.29" in theirs and "19.30" not in ours
    assert "full method" in ours
