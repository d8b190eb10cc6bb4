"""The same picture twice: exactly (SHA-256), or nearly (pHash finds candidates, a 32×24 correlation decides).

pHash is small and quick to search but coarse: on the real pairs it missed a true duplicate at distance 12 that the
correlation scored 0.98, and frames of fog hash alike by chance. Among 45,000 pairs of pictures from different real
sequences none has both modalities' correlation above 0.85; the simulated ones have, at hashes 28 bits apart.
So both must agree, in both modalities.
"""

from collections import defaultdict
from dataclasses import dataclass

import cv2
import numpy as np

from v2ir_lib.data.audit.polarity import normalised

RADIUS = 12  # of 64 bits: so near, a pair of pictures is compared
AGREED = 20  # of 64 bits: so near the other modality's hash must be
CORRELATED = 0.85  # both modalities
ALONE_RADIUS, ALONE_CORRELATED = 8, 0.95  # where one modality has to do
SLIDE = 2  # cells of the fingerprint by which a crop may move things
NEAREST = 24  # candidates of one hash: the links grow with n, however many frames a still camera made
REPRESENTATIVES = 4  # rows that stand for a hash that many rows have, each of another group
EXHAUSTIVE = 20_000  # hashes up to which all are compared; more go into a graph (HNSW), which takes n·log n


@dataclass(frozen=True)
class Link:
    """Two rows that share a picture. distance: bits of pHash, the larger of the modalities compared, 0 where exact."""

    a: int
    b: int
    kind: str  # exact, exact_visible, exact_infrared, near, near_visible
    distance: int
    correlation: float
    across: str = ""  # what lies between them: split, dataset, group


def exact_links(visible: list[str], infrared: list[str], order: list[int]) -> list[Link]:
    """Rows with equal SHA-256, each linked to the first in `order` that has it; "" is no hash."""
    links: dict[tuple[int, int], Link] = {}
    for kind, keys in (
        ("exact", [(v, i) if i else None for v, i in zip(visible, infrared, strict=True)]),
        ("exact_visible", [v or None for v in visible]),
        ("exact_infrared", [i or None for i in infrared]),
    ):
        first: dict = {}
        for row in order:
            key = keys[row]
            if key is not None and (other := first.setdefault(key, row)) != row:
                pair = _ordered(row, other)
                links.setdefault(pair, Link(*pair, kind, 0, 1.0))
    return list(links.values())


def near_links(
    groups: list[str], phash: dict[str, np.ndarray], fingerprint: dict[str, np.ndarray], usable: dict[str, np.ndarray]
) -> list[Link]:
    """Rows whose pictures are nearly the same, a < b, in order.

    Each dict has "visible" and "infrared": uint64 (n,), uint8 (n, 24, 32), bool (n,). Rows without a usable visible
    picture are compared by infrared alone, more strictly. A visible picture that recurs with another infrared one is
    `near_visible`.
    """
    pairs = set()
    for name in ("visible", "infrared"):
        pairs |= candidates(phash[name], groups, usable[name])
    if not pairs:
        return []
    links = []
    ordered = np.array(sorted(pairs))
    for start in range(0, len(ordered), 50_000):
        a, b = ordered[start : start + 50_000].T
        scores = {}
        for name in ("visible", "infrared"):
            bits = np.bitwise_count(phash[name][a] ^ phash[name][b]).astype(int)
            correlation = _correlation(fingerprint[name], a, b, bits <= AGREED)
            both = usable[name][a] & usable[name][b]
            scores[name] = np.where(both, bits, 64), np.where(both, correlation, -1)
        alone = ~(usable["visible"][a] | usable["visible"][b])
        links += _decide(a, b, scores["visible"], scores["infrared"], alone)
    return links


def _decide(a, b, visible, infrared, alone) -> list[Link]:
    links = []
    for i in range(len(a)):
        (v_bits, v_like), (i_bits, i_like) = (visible[0][i], visible[1][i]), (infrared[0][i], infrared[1][i])
        if alone[i]:
            if i_bits <= ALONE_RADIUS and i_like >= ALONE_CORRELATED:
                links.append(Link(int(a[i]), int(b[i]), "near", int(i_bits), float(i_like)))
        elif max(v_bits, i_bits) <= AGREED and min(v_like, i_like) >= CORRELATED:
            links.append(Link(int(a[i]), int(b[i]), "near", int(max(v_bits, i_bits)), float(min(v_like, i_like))))
        elif v_bits <= ALONE_RADIUS and v_like >= ALONE_CORRELATED:
            links.append(Link(int(a[i]), int(b[i]), "near_visible", int(v_bits), float(v_like)))
    return links


def _correlation(fingerprints: np.ndarray, a: np.ndarray, b: np.ndarray, slide: np.ndarray) -> np.ndarray:
    """Of fingerprints a with b (n,); where `slide`, the best of all shifts by up to `SLIDE` cells, either way round."""
    result = np.sum(normalised(fingerprints[a]) * normalised(fingerprints[b]), axis=1)
    inner = slice(SLIDE, -SLIDE)
    for i in np.flatnonzero(slide & (result < 0.99)):
        first, second = fingerprints[a[i]], fingerprints[b[i]]
        for whole, part in ((first, second[inner, inner]), (second, first[inner, inner])):
            best = float(cv2.matchTemplate(whole, part, cv2.TM_CCOEFF_NORMED).max())
            result[i] = max(result[i], best)
    return result


def candidates(
    phash: np.ndarray, groups: list[str], usable: np.ndarray, exhaustive: int = EXHAUSTIVE
) -> set[tuple[int, int]]:
    """Pairs of rows (a < b) whose 64-bit hashes are at most `RADIUS` bits apart; a bounded number for each row.

    Equal hashes are searched once. Up to `exhaustive` different ones all are compared; beyond, faiss's HNSW graph is
    asked, which may miss a few (its recall is tested).
    """
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(usable):
        rows_of[int(phash[row])].append(int(row))
    pairs: set[tuple[int, int]] = set()
    stands_for = {key: _representatives(rows, groups) for key, rows in rows_of.items()}
    for key, rows in rows_of.items():
        for position, row in enumerate(rows):
            pairs.update(_ordered(row, other) for other in rows[position + 1 : position + 1 + REPRESENTATIVES])
            pairs.update(_ordered(row, other) for other in stands_for[key] if other != row)
    keys = np.array(sorted(rows_of), np.uint64)
    if len(keys) > 1:
        for i, j in _nearest(keys, exhaustive):
            for row in rows_of[int(keys[i])]:
                pairs.update(_ordered(row, other) for other in stands_for[int(keys[j])])
    return pairs


def _representatives(rows: list[int], groups: list[str]) -> list[int]:
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(groups[row], row)
    return list(first.values())[:REPRESENTATIVES]


def _ordered(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def _nearest(keys: np.ndarray, exhaustive: int) -> np.ndarray:
    """Index pairs (m, 2) of different hashes at most `RADIUS` bits apart, each with its `NEAREST` at most."""
    import faiss

    codes = keys.astype(">u8").view(np.uint8).reshape(-1, 8)
    if len(keys) <= exhaustive:
        index = faiss.IndexBinaryFlat(64)
    else:
        index = faiss.IndexBinaryHNSW(64, 16)
        index.hnsw.efConstruction, index.hnsw.efSearch = 64, 96
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # a graph built by several threads differs from run to run
    try:
        index.add(codes)
        distances, found = index.search(codes, min(NEAREST + 1, len(keys)))
    finally:
        faiss.omp_set_num_threads(threads)
    queries = np.repeat(np.arange(len(keys))[:, None], found.shape[1], axis=1)
    wanted = (distances <= RADIUS) & (found >= 0) & (found != queries)
    return np.stack([queries[wanted], found[wanted]], axis=1)
