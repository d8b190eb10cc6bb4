"""What belongs together: rows joined by any chain of links (union-find, as scipy's connected components)."""

from collections.abc import Hashable, Sequence

import numpy as np


def joined(count: int, *links: np.ndarray) -> np.ndarray:
    """Number each of `count` rows by the set it belongs to, (count,) int64.

    links: arrays of (L, 2) row numbers; each says that two rows belong together, and so do their sets. Sets are
    numbered in order of their first row. Raises `ValueError` for a row number that is out of range.
    """
    from scipy.sparse import coo_array  # half a second that those who only read shards need not wait
    from scipy.sparse.csgraph import connected_components

    pairs = np.concatenate([np.zeros((0, 2), np.int64), *(np.asarray(some, np.int64).reshape(-1, 2) for some in links)])
    if len(pairs) and not (pairs.min() >= 0 and pairs.max() < count):
        raise ValueError(f"a link goes out of the {count} rows")
    if not count:
        return np.zeros(0, np.int64)
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def same_key(keys: Sequence[Hashable]) -> np.ndarray:
    """Links between each row and the first one that has the same key, (L, 2); a row with an empty key has none."""
    first: dict[Hashable, int] = {}
    pairs = [(first.setdefault(key, row), row) for row, key in enumerate(keys) if key]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)
