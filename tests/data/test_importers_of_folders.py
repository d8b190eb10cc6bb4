"""The importers of a person's own folders: pairs side by side, infrared pictures alone, and real pictures."""

import dataclasses

import miniatures
import pytest

from v2ir_lib.data.importing import import_dataset
from v2ir_lib.files import repo_root
from v2ir_lib.records import Record, read_manifest

REAL = repo_root().parent / "shared" / "real_pairs"


def test_paired(imported):
    records, _, left = imported("paired", miniatures.paired, "own pairs")
    assert sorted(records) == [
        "own pairs/Straße 夜", "own pairs/a street", "own pairs/train/walk/0001", "own pairs/upper",
    ]  # fmt: skip
    assert records["own pairs/upper"].visible.endswith("Visible/UPPER.png")
    walk = records["own pairs/train/walk/0001"]
    assert (walk.group, walk.split, walk.dataset) == ("own pairs/walk", "train", "own pairs")
    assert sorted(left) == [
        ("infrared", "THERMAL/lonely.bmp", "no visible one"), ("visible", "Visible/alone.jpg", "no infrared picture"),
    ]  # fmt: skip


def test_paired_further_down(imported):
    def make(root):
        for way in ("scene 1", "test/scene 2"):
            miniatures.picture(root / way / "rgb/1.png")
            miniatures.picture(root / way / "lwir/1.png", mode="L")
        return root

    records, _, _ = imported("paired", make)
    assert {r.id: (r.group, r.split) for r in records.values()} == {
        "root/scene 1/1": ("root/scene 1", ""),
        "root/test/scene 2/1": ("root/scene 2", "test"),
    }


def test_infrared(imported):
    records, summary, _ = imported("infrared", miniatures.infrared, "own infrared", band="mwir")
    assert {r.id: r.group for r in records.values()} == {
        "own infrared/single": "own infrared/single",
        "own infrared/flight 1/0001": "own infrared/flight 1",
        "own infrared/flight 1/0002": "own infrared/flight 1",
    }
    assert {r.band for r in records.values()} == {"mwir"} and summary.pairs == 0


def test_a_second_picture_of_a_name_is_left_over(imported):
    def make(root):
        for name in ("a.jpg", "A.png"):
            miniatures.picture(root / "visible" / name)
        miniatures.picture(root / "infrared/a.png", mode="L")
        return root

    records, _, left = imported("paired", make)
    assert records["root/a"].visible.endswith("A.png") and left == [("visible", "visible/a.jpg", "same name as A.png")]


def test_accents_stored_in_two_ways_match(imported):
    def make(root):
        miniatures.picture(root / "visible/caf\u00e9.png")
        miniatures.picture(root / "infrared/cafe\u0301.png", mode="L")
        return root

    records, _, left = imported("paired", make)
    assert len(records) == 1 and not left


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real pairs are not at {REAL}")
@pytest.mark.parametrize(
    "kind, name, pairs, alone",
    [
        ("paired", "roadscene", 221, 0),
        ("paired", "msrs", 45, 0),
        ("paired", "llvip", 44, 0),
        ("infrared", "hituav_ir_only", 0, 362),
    ],
)
def test_real_pictures(kind, name, pairs, alone, tmp_path):
    summary = import_dataset(kind, REAL / name, tmp_path / "m.parquet")
    assert (summary.pairs, summary.infrared_only, summary.unpaired) == (pairs, alone, {})
    records = read_manifest(tmp_path / "m.parquet")
    assert len({record.infrared_sha256 for record in records}) == pairs + alone
    assert all(record.infrared.startswith("/") for record in records), "outside the manifest's folder: absolute"
    assert dataclasses.asdict(records[0]).keys() == {field.name for field in dataclasses.fields(Record)}
