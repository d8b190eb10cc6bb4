"""What the prefixes of the authors' list say."""

import pytest

from v2ir_lib.data.sources import parse_name


@pytest.mark.parametrize(
    "name, source, kind, group, frame, time",
    [
        ("kaist_set00_V001_I00042", "KAIST", "sequence", "KAIST/set00_V001", 42, "day"),
        ("kaist_set10_V000_I00001.jpg", "KAIST", "sequence", "KAIST/set10_V000", 1, "night"),
        ("LLVIP_190123.png", "LLVIP", "scene", "LLVIP/19", 123, ""),
        ("visdrone_val_00007", "DroneVehicle", "", "", 7, ""),
        ("DUTUAV_c-vehicle_012_000340", "VTUAV", "sequence", "VTUAV/c-vehicle_012", 340, ""),
        ("DUTUAV_tri_cycle_003_000001", "VTUAV", "sequence", "VTUAV/tri_cycle_003", 1, ""),
        ("FLIR_08863", "FLIR", "", "", 8863, ""),
        ("MSRS_00537D.png", "MSRS", "", "", 537, "day"),
        ("rgb/MSRS_00537N.PNG", "MSRS", "", "", 537, "night"),
        ("AVIID1_0012", "AVIID", "", "", 12, ""),
        ("holiday_001.jpg", "", "", "", -1, ""),
        ("my_kaist_set00_V000_I1", "", "", "", -1, ""),
    ],
)
def test_names(name, source, kind, group, frame, time):
    said = parse_name(name)
    assert (said.name, said.source, said.kind, said.group, said.frame, said.time) == (
        name, source, kind, group, frame, time,
    )  # fmt: skip


def test_numbers_count_within_a_series():
    assert parse_name("visdrone_val_1").series != parse_name("visdrone_test_1").series
    assert parse_name("kaist_set00_V000_I1").series == "KAIST/set00_V000"
    assert parse_name("FLIR_1").series == parse_name("FLIR_2").series == "FLIR"
