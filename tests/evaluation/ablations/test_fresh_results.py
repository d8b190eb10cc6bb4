"""Committed tables and their rows are of the weights that are shipped, and of today's settings."""

import json

import pytest

from v2ir_lib.evaluation.ablations.budgets import BUDGETS
from v2ir_lib.evaluation.ablations.lab import Lab
from v2ir_lib.evaluation.ablations.tables import TABLES
from v2ir_lib.evaluation.tables import RESULTS, hash_now, outdated


@pytest.mark.parametrize("name", TABLES)
def test_a_table_and_its_rows_are_of_todays_settings(name):
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"results/{name}.json is not measured yet")
    lab, report = Lab(BUDGETS["paper"]), json.loads(path.read_text(encoding="utf-8"))
    assert report["budget"] == "paper" and report["provenance"]["weights_sha256"] == TABLES[name].weights(lab)
    keys = {row.name: row for row in TABLES[name].select("all")}
    for file in sorted((RESULTS / name).glob("*.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        now = lab.row_key(keys[record["row"]], record["seed"])
        assert record["key"] == now, f"{file.name} is of other weights or settings: run v2ir ablate {name} again"
    assert {row["row"] for row in report["rows"]} <= set(keys)


def test_other_weights_are_seen():
    lab = Lab(BUDGETS["paper"])
    for table in TABLES.values():
        weights = table.weights(lab)
        assert len(weights) >= 5
        now = {name: hash_now(name) for name in weights}
        assert outdated(weights, now.get) == []
        for name in weights:
            assert outdated(weights | {name: "0" * 64}, now.get) == [name]
    assert outdated({"no_such_folder": "0" * 64}) == ["no_such_folder"]
