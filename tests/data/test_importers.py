"""Every importer on a miniature of its dataset's true layout: which rows, which groups, and what is left over."""

from pathlib import Path

import miniatures
import pytest

from v2ir_lib.data.importers import IMPORTERS
from v2ir_lib.data.importing import import_dataset
from v2ir_lib.data.roots import guess
from v2ir_lib.errors import UserError
from v2ir_lib.files import repo_root


@pytest.mark.parametrize("kind, make, name", miniatures.ALL, ids=lambda value: getattr(value, "__name__", None))
def test_each_miniature_is_known_and_imported_by_its_own_importer(kind, make, name, imported, tmp_path):
    records, summary, _ = imported(kind, make, name)
    assert guess(tmp_path / name).kind == kind
    assert len(records) == summary.pairs + summary.infrared_only > 0
    for record in records.values():
        assert record.group and record.dataset and record.infrared_width > 0 and len(record.infrared_sha256) == 64
        assert (tmp_path / record.infrared).is_file(), "relative to the manifest's folder"
        assert not record.visible or (tmp_path / record.visible).is_file()
        assert (record.band, bool(record.licence)) == (
            ("", False) if kind in ("paired", "infrared") else ("lwir", True)
        )


def test_all_importers_have_a_miniature():
    assert {kind for kind, _, _ in miniatures.ALL} == set(IMPORTERS)


def test_the_table_in_the_docs_has_every_importer_and_its_licence():
    lines = (repo_root() / "docs" / "datasets.md").read_text(encoding="utf-8").split("\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    for kind, importer in IMPORTERS.items():
        row = next(row for row in rows if f"`v2ir data import {kind} " in row[-1])
        assert importer.licence in row[-2]


def test_flir_v1_2018(imported):
    records, summary, left = imported("flir-v1", miniatures.flir_v1_2018)
    assert sorted(records) == [
        "flir-v1/train/FLIR_00001", "flir-v1/train/FLIR_00002", "flir-v1/val/FLIR_08863",
        "flir-v1/video/FLIR_00001", "flir-v1/video/FLIR_00002",
    ]  # fmt: skip
    first, video = records["flir-v1/train/FLIR_00001"], records["flir-v1/video/FLIR_00002"]
    assert (first.split, first.frame, first.width, first.height) == ("train", 1, 90, 80)
    assert (first.bit_depth, first.grey_high) == (8, -1) and first.infrared.endswith("PreviewData/FLIR_00001.jpeg")
    assert first.group == first.id and (video.group, video.split, video.frame) == ("flir-v1/video", "", 2)
    assert left == [("infrared", "Training/PreviewData/FLIR_00003.jpeg", "no visible one")]
    assert any("not aligned" in note for note in summary.notes)


def test_flir_v1_raw(imported):
    records, _, _ = imported("flir-v1", miniatures.flir_v1_2018, raw=True)
    first = records["flir-v1/train/FLIR_00001"]
    assert first.infrared.endswith("Data/FLIR_00001.tiff") and first.bit_depth == 14
    assert first.grey_low == pytest.approx(7001 + 0.005 * 999, abs=2)
    assert first.grey_high == pytest.approx(7001 + 0.995 * 999, abs=2)


def test_flir_v1_3(imported):
    records, _, left = imported("flir-v1", miniatures.flir_v1_3, raw=True)
    assert sorted(records) == ["flir-v1/train/FLIR_00007", "flir-v1/val/FLIR_08900", "flir-v1/video/FLIR_00020"]
    assert {record.bit_depth for record in records.values()} == {8}, "its 16-bit folder is empty"
    assert left == [("visible", "train/RGB/FLIR_00099.jpg", "no infrared picture")]


def test_flir_v2(imported):
    records, summary, left = imported("flir-v2", miniatures.flir_v2)
    assert (summary.pairs, summary.infrared_only) == (2, 4)
    pair = records["flir-v2/test/video-T-frame-000101-t1"]
    assert pair.visible.endswith("video-R-frame-000001-r1.jpg") and (pair.width, pair.infrared_width) == (48, 32)
    assert (pair.group, pair.split, pair.frame) == ("flir-v2/T", "test", 101)
    alone = records["flir-v2/train/video-c-D-frame-000000-x3"]
    assert (alone.visible, alone.group, alone.frame) == ("", "flir-v2/c-D", 0)
    assert records["flir-v2/train/video-aB3-frame-000010-x1"].group == "flir-v2/aB3"
    assert sorted(left) == [
        ("visible", "images_rgb_train/data/video-other-frame-000010-y1.jpg", "v2 states no pairs in train"),
        ("visible", "video-r-frame-000077-gone.*", '"in rgb_to_thermal_vid_map.json, but not there"'),
        (
            "visible",
            "video_rgb_test/data/video-R-frame-000003-r3.jpg",
            '"rgb_to_thermal_vid_map.json gives its thermal picture to another, too"',
        ),
        ("visible", "video_rgb_test/data/video-R-frame-000009-r9.jpg", "not in rgb_to_thermal_vid_map.json"),
    ]


def test_flir_v2_raw_files_that_are_of_8_bits(imported):
    records, _, _ = imported("flir-v2", miniatures.flir_v2, raw=True)
    depths = {id.rpartition("-")[2]: record.bit_depth for id, record in records.items()}
    assert depths == {"x1": 16, "x2": 8, "x3": 8, "x4": 8, "t1": 8, "t2": 8}


def test_flir_aligned(imported):
    records, summary, left = imported("flir-aligned", miniatures.flir_aligned)
    assert {id.rpartition("_")[2]: record.split for id, record in records.items()} == {
        "00002": "train", "00003": "", "08864": "val",
    }  # fmt: skip
    record = records["flir-aligned/FLIR_08864"]
    assert record.visible.endswith("FLIR_08864_RGB.jpg") and record.infrared.endswith("FLIR_08864_PreviewData.jpeg")
    assert [entry[:2] for entry in left] == [
        ("visible", "align/JPEGImages/FLIR_00500_RGB.jpg"), ("infrared", "flir_04444_PreviewData.*"),
    ]  # fmt: skip
    assert summary.notes == ["1 pairs are in neither list: no split"]


def test_kaist(imported):
    records, summary, left = imported("kaist", miniatures.kaist)
    day, night = records["kaist/set00/V000/I00005"], records["kaist/set09/V001/I00000"]
    assert (day.group, day.split, day.time, day.frame) == ("kaist/set00/V000", "train", "day", 5)
    assert (night.group, night.split, night.time) == ("kaist/set09/V001", "test", "night")
    assert (day.width, day.height) == (64, 51) and summary.groups == 2
    assert left == [("infrared", "set09/V001/lwir/I00001.jpg", "no visible one")]


def test_kaist_stride_counts_within_each_sequence(imported):
    records, summary, _ = imported("kaist", miniatures.kaist, stride=3)
    assert sorted(record.frame for record in records.values() if "set00" in record.id) == [0, 3, 6]
    assert len(records) == 4 and summary.skipped_by_stride == 4


def test_kaist_flat(imported):
    records, _, left = imported("kaist", miniatures.kaist_flat)
    assert sorted((r.id, r.group, r.split, r.time) for r in records.values()) == [
        ("kaist/set03/V000/I00019", "kaist/set03/V000", "train", "night"),
        ("kaist/set06/V002/I00039", "kaist/set06/V002", "test", "day"),
    ]
    assert left == [("visible", "set06_V002_I00059_visible.png", "no infrared picture")]


def test_llvip(imported):
    records, summary, left = imported("llvip", miniatures.llvip)
    assert {id: (r.group, r.split, r.frame) for id, r in records.items()} == {
        "llvip/010001": ("llvip/01", "train", 1),
        "llvip/010002": ("llvip/01", "train", 2),
        "llvip/190001": ("llvip/19", "test", 1),
    }
    assert left == [("visible", "visible/test/190002.jpg", "no infrared picture")] and summary.splits["train"] == 2


def test_m3fd(imported):
    records, summary, left = imported("m3fd", miniatures.m3fd)
    assert sorted(records) == ["m3fd/detection/00001", "m3fd/detection/00002", "m3fd/fusion/00001"]
    assert summary.groups == 3 and summary.sizes == {"64×48 → 64×48": 2, "50×40 → 50×40": 1}
    assert left == [("infrared", "M3FD_Detection/Ir/00003.png", "no visible one")]


def test_m3fd_variant(imported):
    records, _, _ = imported("m3fd", miniatures.m3fd_variant, "M3FD_Fusion")
    assert list(records) == ["m3fd/fusion/00719"] and records["m3fd/fusion/00719"].visible.endswith("vi/00719.png")


def test_msrs(imported):
    records, _, left = imported("msrs", miniatures.msrs)
    assert {id: (r.split, r.time, r.frame) for id, r in records.items()} == {
        "msrs/00001D": ("train", "day", 1),
        "msrs/00003N": ("train", "night", 3),
        "msrs/00004N": ("test", "night", 4),
    }
    assert left == [("infrared", "test/ir/00009D.png", "no visible one")]


def test_dronevehicle(imported):
    records, summary, left = imported("dronevehicle", miniatures.dronevehicle)
    framed, bare = records["dronevehicle/train/00001"], records["dronevehicle/val/00001"]
    assert (framed.crop, framed.width, framed.height) == ("100,100,740,612", 840, 712)
    assert (bare.crop, bare.width) == ("", 640) and "taken whole" in summary.notes[0]
    assert left == [("visible", "test/testimg/00001.jpg", "no infrared picture")]


def test_vtuav(imported):
    records, summary, left = imported("vtuav", miniatures.vtuav)
    second = records["vtuav/train_ST_001/pedestrian_040/000001"]
    assert second.visible.endswith("rgb/000001.jpg") and second.infrared.endswith("ir/000006.jpg")
    parts = {r.id.split("/")[1] for r in records.values() if r.group == "vtuav/pedestrian_040"}
    assert parts == {"train_ST_001", "train_ST_007"}, "one sequence in two parts is one group"
    assert records["vtuav/test_ST_001/car_002/000000"].split == "test"
    assert left == [
        ("infrared", "train_ST_007/pedestrian_040/ir/000010.jpg", "its sequence has fewer visible pictures")
    ]
    assert "2 visible, 3 infrared" in summary.notes[0]


def test_vtuav_pairs_in_the_order_of_numbers(imported):
    def make(root):
        for n, name in enumerate(("9", "10", "100")):
            miniatures.picture(root / "train_ST_001/bus_1/rgb" / f"{name}.jpg")
            miniatures.picture(root / "train_ST_001/bus_1/ir" / f"{n:06d}.jpg")
        return root

    records, _, _ = imported("vtuav", make)
    assert [Path(record.visible).stem for record in records.values()] == ["9", "10", "100"]


def test_two_folders_that_differ_in_case_are_not_chosen_between(tmp_path):
    root = miniatures.msrs(tmp_path / "MSRS")
    miniatures.picture(root / "train/VI/00001D.png")
    if len(list((root / "train").iterdir())) < 4:
        pytest.skip("this file system knows no case")
    with pytest.raises(UserError, match="VI and vi"):
        import_dataset("msrs", root, tmp_path / "m.csv")


def test_lsotb_tir(imported):
    records, summary, left = imported("lsotb-tir", miniatures.lsotb_tir)
    assert summary.infrared_only == 4 and summary.groups == 2 and not left
    record = records["lsotb-tir/TIR_training_001/airplane_1/10"]
    assert (record.group, record.visible, record.frame) == ("lsotb-tir/airplane_1", "", 10)
    assert "Evaluation Dataset" in summary.notes[0]


def test_lsotb_tir_stride_follows_the_numbers(imported):
    records, _, _ = imported("lsotb-tir", miniatures.lsotb_tir, stride=2)
    assert sorted(r.frame for r in records.values() if "airplane" in r.id) == [1, 10], "10 comes after 2"


def test_aviid(imported):
    records, summary, _ = imported("aviid", miniatures.aviid)
    assert {id: (r.dataset, r.split) for id, r in records.items()} == {
        "aviid-1/train/1": ("aviid-1", "train"),
        "aviid-1/test/1": ("aviid-1", "test"),
        "aviid-3/5": ("aviid-3", ""),
    }
    assert summary.notes[0] == "AVIID-1: 2 pairs, 993 were published"


def test_ir_500k(imported):
    records, summary, left = imported("ir-500k", miniatures.ir_500k)
    groups = {id.removeprefix("ir-500k/"): (r.dataset, r.group) for id, r in records.items()}
    assert groups == {
        "kaist_set00_V003_I00120": ("kaist", "kaist/set00/V003"),
        "kaist_set00_V003_I00140": ("kaist", "kaist/set00/V003"),
        "kaist_set09_V000_I00001": ("kaist", "kaist/set09/V000"),
        "LLVIP_190023": ("llvip", "llvip/19"),
        "visdrone_train_00007": ("dronevehicle", "ir-500k/visdrone_train_00007"),
        "DUTUAV_pedestrian_040_000450": ("vtuav", "vtuav/pedestrian_040"),
        "FLIR_00042": ("flir", "ir-500k/FLIR_00042"),
        "FLIR_09999": ("flir", "ir-500k/FLIR_09999"),
        "MSRS_00010N": ("msrs", "ir-500k/MSRS_00010N"),
        "AVIID1_1": ("aviid-1", "ir-500k/AVIID1_1"),
        "something_else": ("ir-500k", "ir-500k/something_else"),
    }
    splits = {id.removeprefix("ir-500k/"): r.split for id, r in records.items()}
    # 28 names: floor(0.9 × 28) = 25 are training, then one validation, two test
    assert splits["AVIID1_1"] == "train" and splits["FLIR_09999"] == ""
    assert (splits["something_else"], splits["kaist_set00_V003_I00140"]) == ("test", "test")
    assert records["ir-500k/MSRS_00010N"].time == "night" and records["ir-500k/LLVIP_190023"].frame == 23
    assert records["ir-500k/kaist_set09_V000_I00001"].licence == IMPORTERS["kaist"].licence
    assert len(left) == 19 and ("visible", "rgb/kaist_set01_V000_I00000.png", "no infrared picture") in left
    assert sorted(summary.notes) == [
        "1 pairs are not in seeds.json: no split",
        "1 pairs have a prefix we do not know: no source, no group",
        "1 rows are not of the size that has a frame around it: taken whole",
        "2 pairs have no segment map in seg",
    ]


def test_groups_agree_between_the_authors_folder_and_the_original(imported, tmp_path):
    authors, _, _ = imported("ir-500k", miniatures.ir_500k)
    kaist, _, _ = imported("kaist", miniatures.kaist, "kaist")
    vtuav, _, _ = imported("vtuav", miniatures.vtuav, "vtuav")
    same = {record.group for record in authors.values()} & {r.group for r in (*kaist.values(), *vtuav.values())}
    assert same == {"vtuav/pedestrian_040"}
    assert {r.group.count("/") for r in kaist.values()} == {authors["ir-500k/kaist_set09_V000_I00001"].group.count("/")}
