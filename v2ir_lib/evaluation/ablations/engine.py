"""Running a table: what is there is kept, what is missing is done, and the report is written after every row."""

import json
import sys
import time
from pathlib import Path

from v2ir_lib.evaluation.ablations.answers import METRICS, fd_tiny, scores, translations
from v2ir_lib.evaluation.ablations.lab import Lab
from v2ir_lib.evaluation.ablations.plan import Clock, in_words, plan
from v2ir_lib.evaluation.ablations.records import kinds_of, read_record, record_path, write_record
from v2ir_lib.evaluation.ablations.report import compare, neighbours, order, rows_of
from v2ir_lib.evaluation.ablations.rows import Row, last_stage
from v2ir_lib.evaluation.ablations.stages import train_stage
from v2ir_lib.evaluation.ablations.tables import Table
from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.files import write_json
from v2ir_lib.weights import read_json

MEASURED = (
    "PSNR in dB and SSIM, data range 255; aligned: after the best gain and offset of each picture; edge agreement: "
    "correlation of gradients; means over scenes and seeds, 95% bootstrap intervals over scenes; FD-tiny: one number "
    "for all scenes, without an interval; tests: docs/analysis_plan.md"
)
MOST_SEEDS = 100  # seeds that are looked for among the records


def run_table(table: Table, lab: Lab, rows: list[Row], seeds: list[int], out: Path) -> dict:
    """Do what is missing of these rows and seeds; the report, which is also in `out/<table>.json`.

    Each row and seed leaves `out/<table>/<row>-<seed>.json` as soon as it is done; a run that was stopped goes on, with
    stages from their last checkpoints and rows from their last batch. The report has all rows that are there, whoever
    asked for them. Raises `UserError` for a full disk or a loss that is not a number.
    """
    jobs = plan(lab, rows, seeds, out / table.name)
    clock = Clock(jobs)
    for number, job in enumerate(jobs, start=1):
        left = in_words(clock.seconds_left())
        print(f"[{number}/{len(jobs)}] {job.label}; left: about {left} of training and sampling", file=sys.stderr)
        if isinstance(job.what, Row):
            do_row(lab, job.what, job.seed, out / table.name)
            write_report(table, lab, out)
        else:
            train_stage(lab, job.what)
        clock.done(job)
    return write_report(table, lab, out)


def do_row(lab: Lab, row: Row, seed: int, folder: Path) -> dict:
    """Translate and score one row, whose stages are trained, and write its record."""
    begun = time.monotonic()
    pictures, truth = translations(lab, row, seed), lab.heldout.infrared
    last = last_stage(row, seed)
    return write_record(
        record_path(folder, row, seed),
        row,
        seed,
        lab.row_key(row, seed),
        scores(pictures, truth),
        fd_tiny=fd_tiny(pictures, truth),
        stages=[train_stage(lab, stage) for stage in last.chain()] if last else [],
        seconds=round(time.monotonic() - begun, 1),
        scenes={
            "pack": lab.heldout.pack.name,
            "camera": lab.heldout.camera,
            "count": len(lab.heldout),
            "kinds": kinds_of(lab.heldout.groups(), len(lab.heldout)),
        },
        provenance=provenance(seed),
    )


def records_there(table: Table, lab: Lab, out: Path) -> dict[str, list[dict]]:
    """All records of a table that are of these weights, scenes and settings, by row, seeds in order."""
    found: dict[str, list[dict]] = {}
    for row in (*table.rows, *table.extra):
        for seed in range(MOST_SEEDS):
            path = record_path(out / table.name, row, seed)
            record = read_record(path, lab.row_key(row, seed)) if path.is_file() else None
            if record is not None:
                found.setdefault(row.name, []).append(record)
    return found


def make_report(table: Table, lab: Lab, out: Path) -> dict:
    """The table as it stands: every row, what is compared with what, our order against the paper's."""
    records = records_there(table, lab, out)
    names = [row.name for row in table.rows if row.name in records]
    contrasts = [
        {"about": about, **entry}
        for about, ours, theirs in table.contrasts
        for entry in compare(records, [(ours, theirs)], by_group=True)
    ]
    others = [(name, table.reference) for name in records if name != table.reference]
    return {
        "about": f"{table.about}; {MEASURED}",
        "budget": lab.budget.name,
        "provenance": provenance(0) | {"weights_sha256": table.weights(lab)},
        "design": design(table, lab),
        "metrics": list(METRICS),
        "rows": rows_of(records),
        "contrasts": contrasts,
        "against_the_row_before": compare(records, neighbours(names)),
        f"against_{table.reference.replace(' ', '_')}": compare(records, others),
        "order_of_rows_and_the_papers": order(records, table.printed),
    }


def write_report(table: Table, lab: Lab, out: Path) -> dict:
    """The report of what is there, written unless the file says the same: reading results does not touch them."""
    path, report = out / f"{table.name}.json", make_report(table, lab, out)
    if not path.is_file() or _without_provenance(read_json(path)) != _without_provenance(report):
        write_json(path, report)
    return report


def _without_provenance(report: dict) -> list:
    """What a report says, and of which weights; not when, nor on which machine."""
    told = {name: value for name, value in report.items() if name != "provenance"}
    return json.loads(json.dumps([told, report.get("provenance", {}).get("weights_sha256")]))


def design(table: Table, lab: Lab) -> dict:
    """What was the same for all rows."""
    steps = {"steps": lab.budget.steps, "training_scenes": lab.budget.scenes or "all"} if table.trained else {}
    return steps | {"held_out_scenes": lab.budget.heldout or "all", "sampler": "Euler ancestral"}
