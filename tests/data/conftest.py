"""Data sets to import: a miniature of a published one, and three pairs in folders."""

from pathlib import Path

import miniatures
import pytest

from v2ir_lib.data.importing import import_dataset
from v2ir_lib.records import read_manifest


@pytest.fixture
def imported(tmp_path):
    """Make a miniature, import it; returns rows by id, the summary, and (side, path, reason) of what is in no row."""

    def run(kind: str, make, name: str = "root", **options):
        root = make(tmp_path / name)
        summary = import_dataset(kind, root, tmp_path / "m.csv", **options)
        records = {record.id: record for record in read_manifest(tmp_path / "m.csv")}
        listing = tmp_path / "m.csv.unpaired.csv"
        lines = listing.read_text(encoding="utf-8").split("\n")[1:-1] if listing.exists() else []
        left = [tuple(line.split(",", 2)) for line in lines]
        assert len(left) == sum(summary.unpaired.values())
        return records, summary, [(side, path.removeprefix(f"{name}/"), reason) for side, path, reason in left]

    return run


@pytest.fixture
def pairs(tmp_path) -> Path:
    """Three pairs."""
    for n in range(3):
        miniatures.picture(tmp_path / "set" / "visible" / f"{n}.png", (40, 30), grey=50 + n)
        miniatures.picture(tmp_path / "set" / "infrared" / f"{n}.png", (32, 24), "L", grey=50 + n)
    return tmp_path / "set"
