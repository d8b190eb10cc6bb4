"""Leaks that are known by construction: a list like the authors', and manifests with one planted leak of each kind."""

import json
from dataclasses import replace

import numpy as np
import pytest
from split_rows import COUNT, PROPORTIONS, TEST, TRAIN, VAL, authors_list, rows

from v2ir_lib.data.leakage import check_names, check_records, positional, read_names
from v2ir_lib.errors import UserError

# 1,150 + 738 = 1,888 test names with a sequence id; LLVIP's names carry only a scene
IN_TEST = dict(KAIST=1150, VTUAV=738, LLVIP=402, DroneVehicle=672, FLIR=257, MSRS=41, AVIID=42)


@pytest.fixture(scope="module")
def names():
    return authors_list(IN_TEST)


def test_the_list_is_like_the_authors(names):
    assert len(set(names)) == COUNT
    prefixes = {"kaist": "KAIST", "visdrone": "DroneVehicle", "DUTUAV": "VTUAV", "AVIID1": "AVIID"}
    found = dict.fromkeys(PROPORTIONS, 0)
    for name in names:
        prefix = name.split("_")[0]
        found[prefixes.get(prefix, prefix)] += 1
    assert found == PROPORTIONS


def test_positional_leak_of_the_authors_list(names):
    """1,888 of 3,302 test names carry a sequence id, and all of them share it with training."""
    found = check_names(names)
    test = found.total("test")
    assert found.leaks and test.rows == TEST == 3302
    assert test.carrying["sequence"] == test.shared["sequence"] == 1888
    assert test.carrying["scene"] == test.shared["scene"] == 402
    assert test.leaking == 1888 + 402
    assert {source: parts["test"].rows for source, parts in found.datasets.items()} == IN_TEST
    leaking = {source: parts["test"].leaking for source, parts in found.datasets.items()}
    assert leaking == dict(KAIST=1150, VTUAV=738, LLVIP=402, DroneVehicle=0, FLIR=0, MSRS=0, AVIID=0)
    assert found.datasets["VTUAV"]["test"].names == [name for name in names[-TEST:] if name.startswith("DUTUAV")]
    assert found.datasets["MSRS"]["test"].next_to_training == 41, "neighbours in number: a hint, not counted as a leak"
    said = "\n".join(found.lines())
    assert "1,888 carry a sequence id; " in said and "1,888 share a sequence with training" in said


def test_a_sequence_that_training_has_not_is_no_leak(names):
    """One KAIST sequence is renamed in the test part only: its names still carry an id, but share nothing."""
    held_out = [name for name in names[-TEST:] if name.startswith("kaist_set05_V002")]
    renamed = [name.replace("set05_V002", "set11_V009") if name in set(held_out) else name for name in names]
    test = check_names(renamed).total("test")
    assert len(held_out) == 28 and test.carrying["sequence"] == 1888 and test.shared["sequence"] == 1888 - 28


def test_positional_shares():
    assert [positional(COUNT).count(part) for part in ("train", "val", "test")] == [TRAIN, VAL, TEST]
    assert positional(20) == ["train"] * 18 + ["val", "test"]
    assert positional(4, (0.5, 0.25, 0.25)) == ["train", "train", "val", "test"]
    assert positional(10, (0.7, 0.2, 0.1)) == ["train"] * 7 + ["val"] * 2 + ["test"], "0.7 + 0.2 is a little below 0.9"


def test_names_from_json(tmp_path):
    path = tmp_path / "seeds.json"
    for value in ([["a"], ["b"]], ["a", "b"], [["a", [1, 2]], ["b", []]]):
        path.write_text(json.dumps(value))
        assert read_names(path) == ["a", "b"]
    for text in ("[]", "{}", "[1]", "[[]]", "[[1]]", "nonsense"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"seeds\.json"):
            read_names(path)


def test_the_same_name_on_both_sides_is_a_leak():
    assert not check_names(["FLIR_1", "FLIR_5", "FLIR_9"], (0.34, 0.33, 0.33)).leaks
    assert check_names(["FLIR_1", "FLIR_5", "FLIR_1"], (0.34, 0.33, 0.33)).datasets["FLIR"]["test"].names == ["FLIR_1"]


@pytest.fixture
def clean():
    """Six sequences of two frames, the last two of them val and test."""
    some = [replace(r, visible_sha256=f"v{i}", infrared_sha256=f"i{i}") for i, r in enumerate(rows(6, 2))]
    return some, ["train"] * 8 + ["val"] * 2 + ["test"] * 2


def test_a_clean_split(clean):
    found = check_records(*clean, np.array([[0, 1], [8, 10]]))  # inside training; between val and test
    assert not found.leaks and found.total("val").rows == found.total("test").rows == 2
    assert found.total("test").carrying["link"] == 1


def test_one_leak_of_each_kind(clean):
    some, parts = clean
    found = check_records(some, [*parts[:7], "test", *parts[8:]])
    assert found.datasets["kaist"]["test"].shared == {"group": 1} and found.total("test").leaking == 1
    assert found.datasets["kaist"]["test"].names == ["kaist/3-1"]
    for row, ends in ((10, (0, 10)), (9, (9, 3))):
        found = check_records(some, parts, np.array([ends]))
        assert found.datasets["kaist"][parts[row]].shared == {"link": 1}
        assert found.datasets["kaist"][parts[row]].names == [some[row].id]
    twin = [*some[:11], replace(some[11], infrared_sha256="i0")]
    assert check_records(twin, parts).total("test").shared == {"infrared file": 1}
    named = [replace(r, visible=f"kaist_set00_V000_I{i}.png", group=r.id) for i, r in enumerate(some)]
    found = check_records(named, parts)
    assert found.total("val").shared == found.total("test").shared == {"sequence": 2}


def test_excluded_rows_are_on_no_side(clean):
    some, parts = clean
    found = check_records(some, ["excluded", "excluded", *parts[2:]], np.array([[0, 10]]))
    assert not found.leaks and sum(part.rows for part in found.datasets["kaist"].values()) == 10
