"""A table that is committed is of the weights that are shipped."""

import json
from pathlib import Path

import pytest

from v2ir_lib.evaluation.ablations.budgets import BUDGETS
from v2ir_lib.evaluation.ablations.lab import Lab
from v2ir_lib.evaluation.ablations.tables import TABLES
from v2ir_lib.files import repo_root

RESULTS = repo_root() / "results"


def outdated(path: Path, now: dict[str, str]) -> list[str]:
    """The weights of which a result names another hash than there is now."""
    told = json.loads(path.read_text(encoding="utf-8"))["provenance"]["weights_sha256"]
    return sorted(name for name in {*told, *now} if told.get(name) != now.get(name))


@pytest.mark.parametrize("name", TABLES)
def test_a_result_is_of_the_weights_that_are_shipped(name):
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"results/{name}.json is not measured yet")
    lab = Lab(BUDGETS["paper"])
    assert outdated(path, TABLES[name].weights(lab)) == [], f"run v2ir ablate {name} again: its weights have changed"
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["budget"] == "paper"
    for row in TABLES[name].select("all"):
        for file in sorted((RESULTS / name).glob("*.json")):
            record = json.loads(file.read_text(encoding="utf-8"))
            if record["row"] == row.name:
                assert record["key"] == lab.row_key(row, record["seed"]), f"{file} is of other weights or settings"


def test_other_weights_are_seen(tmp_path):
    now = TABLES["table3"].weights(Lab(BUDGETS["paper"]))
    assert {"base_unet", "autoencoder", "segmenter"} <= set(now)
    path = tmp_path / "table3.json"
    path.write_text(json.dumps({"provenance": {"weights_sha256": now | {"base_unet": "0" * 64}}}))
    assert outdated(path, now) == ["base_unet"]
    path.write_text(json.dumps({"provenance": {"weights_sha256": {}}}))
    assert outdated(path, now) == sorted(now)
