"""Sets stay whole, shares are met, the seed decides, and a further dataset moves nothing."""

import random
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from split_rows import rows

from v2ir_lib.data.splitting import EXCLUDED, PARTS, components, parse_fractions, split_records
from v2ir_lib.errors import UserError


def mixture():
    """Three datasets, one of them by day and by night, sequences of unequal length."""
    random_lengths = random.Random(1)
    some = rows(60, 5, "llvip")
    for group in range(80):
        time = "day" if group < 50 else "night"
        some += rows(1, random_lengths.randint(1, 20), "kaist", time, start=group)
    return some + rows(40, 1, "flir-v1")


def test_groups_stay_whole_and_shares_are_met_by_dataset_and_time():
    some = mixture()
    _, parts = split_records(some, (0.8, 0.1, 0.1), seed=3)
    where = defaultdict(set)
    counts = defaultdict(Counter)
    for record, part in zip(some, parts, strict=True):
        where[record.group].add(part)
        counts[record.dataset, record.time][part] += 1
    assert all(len(found) == 1 for found in where.values())
    assert len(counts) == 4
    for stratum in counts.values():
        for part, share in zip(PARTS, (0.8, 0.1, 0.1), strict=True):
            assert stratum[part] / stratum.total() == pytest.approx(share, abs=0.04)


def test_seed_and_order():
    some = mixture()
    by_id = lambda found: dict(zip((r.id for r in found[0]), found[1], strict=True))  # noqa: E731
    parts = by_id((some, split_records(some, seed=3)[1]))
    shuffled = random.Random(0).sample(some, len(some))
    assert by_id((shuffled, split_records(shuffled, seed=3)[1])) == parts
    assert by_id((some, split_records(some, seed=4)[1])) != parts
    more = some + rows(30, 4, "vtuav")
    longer = by_id((more, split_records(more, seed=3)[1]))
    assert {name: longer[name] for name in parts} == parts
    fixed = split_records(rows(8, 2), (0.5, 0.25, 0.25), seed=0)[1]
    assert " ".join(fixed[::2]) == "train train train val val test test train", (
        "a split that was published must come out the same for ever"
    )


def test_links_hashes_and_chains_join_sets():
    some = rows(6, 2)
    some[0] = replace(some[0], visible_sha256="same")  # group 0
    some[5] = replace(some[5], visible_sha256="same")  # group 2
    names = components(some, [np.array([[4, 8]]), np.array([[9, 11]])])  # 2-4, 4-5
    assert names == ["kaist/0"] * 2 + ["kaist/1"] * 2 + ["kaist/0"] * 2 + ["kaist/3"] * 2 + ["kaist/0"] * 4
    for seed in range(5):
        _, parts = split_records(some, (0.4, 0.3, 0.3), seed=seed, links=[np.array([[4, 8], [9, 11]])])
        assert len({parts[row] for row in (0, 1, 4, 5, 8, 9, 10, 11)}) == 1


def test_same_group_name_in_two_datasets_is_two_groups():
    some = [replace(r, group="set00") for r in rows(1, 2, "kaist") + rows(1, 2, "llvip")]
    assert components(some) == ["kaist/set00"] * 2 + ["llvip/set00"] * 2


def test_an_excluded_row_takes_its_set_along():
    some = rows(10, 3)
    names, parts = split_records(some, (0.6, 0.2, 0.2), links=[np.array([[0, 29]])], excluded={1})
    assert [row for row, part in enumerate(parts) if part == EXCLUDED] == [0, 1, 2, 27, 28, 29]
    assert {names[row] for row in (0, 1, 2, 27, 28, 29)} == {"kaist/0"}
    assert set(parts) == {*PARTS, EXCLUDED}


@pytest.mark.parametrize("groups", [3, 4, 7])
def test_every_part_has_something_where_sets_suffice(groups):
    for seed in range(6):
        assert set(split_records(rows(groups, 5), seed=seed)[1]) == set(PARTS)
    small = [record for name in "abcd" for record in rows(1, 3, name)]  # four datasets of one sequence each
    assert set(split_records(small)[1]) == set(PARTS)


def test_a_long_sequence_goes_to_training():
    some = rows(1, 500) + rows(20, 5, start=1)
    for seed in range(10):
        assert split_records(some, (0.8, 0.1, 0.1), seed=seed)[1][0] == "train"


def test_parts_without_a_share_get_nothing():
    assert set(split_records(rows(9, 2), (0.5, 0, 0.5))[1]) == {"train", "test"}
    assert set(split_records(rows(1, 2), (1, 0, 0))[1]) == {"train"}
    assert set(split_records(rows(2, 2), (0, 0, 1))[1]) == {"test"}


@pytest.mark.parametrize(
    "text, word",
    [("0.9,0.1", "three"), ("0.9,0.05,0.06", "sum of 1.01"), ("1.2,-0.1,-0.1", "between"), ("a,b,c", "numbers"),
     ("nan,0.5,0.5", "between"), ("", "numbers")],
)  # fmt: skip
def test_bad_fractions(text, word):
    with pytest.raises(UserError, match=word):
        parse_fractions(text)


def test_too_few():
    with pytest.raises(UserError, match="too few groups for a split: 2 sets"):
        split_records(rows(2, 50))
    with pytest.raises(UserError, match="too few groups"):
        split_records(rows(3, 2), links=[np.array([[0, 2]])])
    with pytest.raises(UserError, match="every row is excluded"):
        split_records(rows(2, 1), excluded={0, 1})
    with pytest.raises(UserError, match="no rows"):
        split_records([])
