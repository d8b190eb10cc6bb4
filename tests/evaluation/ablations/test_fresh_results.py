"""A result that is committed is of the weights that are shipped."""

import json
from functools import cache
from pathlib import Path

import pytest

from v2ir_lib.diffusion.folders import pipeline_hash
from v2ir_lib.evaluation.ablations.budgets import BUDGETS
from v2ir_lib.evaluation.ablations.lab import Lab
from v2ir_lib.evaluation.ablations.tables import TABLES
from v2ir_lib.files import repo_root, sha256
from v2ir_lib.weights import folder_hash

RESULTS, MODELS = repo_root() / "results", repo_root() / "models" / "tiny"


@cache
def hash_now(name: str) -> str | None:
    """Of what a result calls by that name: a file or folder of the shipped weights, or the pipeline with its parts."""
    if name == "pipeline":
        return pipeline_hash(MODELS / "diffv2ir")
    for path in (MODELS / name, MODELS / "diffv2ir" / name):
        if path.exists():
            return sha256(path) if path.is_file() else folder_hash(path)
    return None


def outdated(report: dict) -> list[str]:
    """The weights of which a result names another hash than there is now."""
    told = report["provenance"]["weights_sha256"]
    return sorted(name for name, value in told.items() if value != hash_now(name))


def results_with_weights() -> list[Path]:
    paths = [path for path in sorted(RESULTS.glob("*.json")) if '"weights_sha256"' in path.read_text(encoding="utf-8")]
    assert paths, "results/ has no figures of the shipped weights at all"
    return paths


@pytest.mark.parametrize("path", results_with_weights(), ids=lambda path: path.name)
def test_a_result_is_of_the_weights_that_are_shipped(path):
    report = json.loads(path.read_text(encoding="utf-8"))
    if "weights_sha256" not in report["provenance"]:
        pytest.skip(f"{path.name} keeps its hashes elsewhere")
    assert outdated(report) == [], f"make {path.name} again: the weights have changed since"


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
        assert outdated({"provenance": {"weights_sha256": weights}}) == []
        for name in weights:
            changed = weights | {name: "0" * 64}
            assert outdated({"provenance": {"weights_sha256": changed}}) == [name]
    assert outdated({"provenance": {"weights_sha256": {"no_such_folder": "0" * 64}}}) == ["no_such_folder"]
