"""The measure of the audit: 20 faults planted among clean pairs, 19 found, 2 clean ones blamed at most."""

import os
from pathlib import Path

import pytest
from planted_faults import FAULTS, plant

from v2ir_lib.data.audit import audit_records
from v2ir_lib.files import repo_root
from v2ir_lib.records import Record, read_manifest

REAL = repo_root().parent / "shared" / "real_pairs"
THERMAL = ("mwir-cooled", "lwir-driving", "lwir-radiometric")  # three votes on polarity in each scene
KINDS = 8  # at least


def simulated() -> tuple[list[Record], Path]:
    folder = repo_root() / "data_samples"
    return [record for record in read_manifest(folder / "manifest.csv") if record.camera in THERMAL], folder


def audited(records, source, folder, seed):
    """Planted {id: fault}; ids whose fault was found under its own name; clean rows that are called bad."""
    planted = plant(records, source, folder, count=20, seed=seed)
    audit = audit_records(read_manifest(folder / "manifest.csv"), folder, workers=1, progress=False)
    findings = dict(zip((record.id for record in audit.records), audit.findings, strict=True))
    found = [
        name for name, kind in planted.items() if {reason.code for reason in findings[name].reasons} & FAULTS[kind][1]
    ]
    blamed = {name: findings[name].text for name in findings if findings[name].verdict == "bad" and name not in planted}
    return planted, found, blamed


def check(planted, found, blamed):
    assert len(planted) == 20 and len(set(planted.values())) >= KINDS
    assert len(found) >= 19, {name: kind for name, kind in planted.items() if name not in found}
    assert len(blamed) <= 2, blamed


@pytest.mark.parametrize("seed", [0, 1])
def test_simulated_pairs(tmp_path, seed):
    check(*audited(*simulated(), tmp_path, seed))


@pytest.mark.skipif(not (REAL / "manifest.csv").is_file(), reason="the real pairs are not on this machine")
@pytest.mark.parametrize("seed", [0, 1])
def test_real_pairs(tmp_path, seed):
    check(*audited(read_manifest(REAL / "manifest.csv"), REAL, tmp_path, seed))


def test_planting_is_repeatable_and_leaves_the_source_alone(tmp_path):
    records, source = simulated()
    records = records[:60]
    before = {record.infrared: (source / record.infrared).stat().st_mtime_ns for record in records}
    one, two = (plant(records, source, tmp_path / name, count=11, seed=5) for name in ("one", "two"))
    assert one == two and set(one.values()) == set(FAULTS)
    first, second = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("one", "two")
    )
    assert first == second
    assert {record.infrared: os.stat(source / record.infrared).st_mtime_ns for record in records} == before
    unlike = plant(records, source, tmp_path / "three", count=11, seed=6)
    assert unlike != one
