"""Sets by chains of links, against a hand-made case and a plain search."""

import numpy as np
import pytest

from v2ir_lib.data.union_find import joined, same_key


def test_by_hand():
    assert joined(7, np.array([[5, 1], [2, 3]]), np.array([[3, 5]])).tolist() == [0, 1, 1, 1, 2, 1, 3]
    assert joined(3).tolist() == [0, 1, 2] and joined(0).tolist() == []


def test_against_a_plain_search():
    rng = np.random.default_rng(0)
    links = rng.integers(0, 60, (40, 2))
    labels = joined(60, links[:25], links[25:])
    plain = list(range(60))
    for _ in range(60):  # the smallest label spreads along every link
        for a, b in links:
            plain[a] = plain[b] = min(plain[a], plain[b])
    assert [(labels == label).tolist() for label in labels] == [[p == q for q in plain] for p in plain]
    firsts = [labels.tolist().index(label) for label in range(labels.max() + 1)]
    assert firsts == sorted(firsts), "numbered in order of their first row"


def test_same_key():
    assert same_key(["a", "", "b", "a", "", "a"]).tolist() == [[0, 3], [0, 5]]
    assert same_key(["", ""]).shape == (0, 2)


def test_a_link_out_of_range():
    for link in ([[0, 3]], [[-1, 0]]):
        with pytest.raises(ValueError, match="out of the 3"):
            joined(3, np.array(link))
