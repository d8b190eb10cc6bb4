"""The same picture twice: exactly (SHA-256), or nearly (pHash finds candidates, a 32×24 correlation decides).

pHash is small and quick to search but coarse: on the real pairs it missed a true duplicate at distance 12 that the
correlation scored 0.98, and frames of fog hash alike by chance. Among 45,000 pairs of pictures from different real
sequences none has both modalities' correlation above 0.85; the simulated ones have, at hashes 28 bits apart.
So both must agree, in both modalities.
"""

from dataclasses import dataclass

import cv2
import numpy as np

RADIUS = 12  # of 64 bits: so near, a pair of pictures is compared
AGREED = 20  # of 64 bits: so near the other modality's hash must be
CORRELATED = 0.85  # both modalities
ALONE_RADIUS, ALONE_CORRELATED = 8, 0.95  # where one modality has to do
SLIDE = 2  # cells of the fingerprint by which a crop may move things
NEAREST = 24  # candidates of one hash: the links grow with n, however many frames a still camera made
STEPS = range(1, 5)  # rows of one hash, in the manifest's order, are compared with so many that follow
PORTION = 8192  # pairs compared at a time
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
                pair = (min(row, other), max(row, other))
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
    a, b = np.unique(np.concatenate([candidates(phash[name], groups, usable[name]) for name in phash]), axis=0).T
    links = []
    for start in range(0, len(a), PORTION):
        part = slice(start, start + PORTION)
        links += _decide(a[part], b[part], phash, fingerprint, usable)
    return links


def _decide(a: np.ndarray, b: np.ndarray, phash: dict, fingerprint: dict, usable: dict) -> list[Link]:
    bits, like = {}, {}
    for name in ("visible", "infrared"):
        both = usable[name][a] & usable[name][b]
        bits[name] = np.where(both, np.bitwise_count(phash[name][a] ^ phash[name][b]).astype(int), 64)
        like[name] = np.where(both, _correlation(fingerprint[name], a, b, bits[name] <= AGREED), -1)
    alone = ~(usable["visible"][a] | usable["visible"][b])
    worse, lower = np.maximum(bits["visible"], bits["infrared"]), np.minimum(like["visible"], like["infrared"])
    strict = {name: (bits[name] <= ALONE_RADIUS) & (like[name] >= ALONE_CORRELATED) for name in bits}
    pair = (worse <= AGREED) & (lower >= CORRELATED)
    links = []
    for kind, chosen, distance, correlation in (
        ("near", pair, worse, lower),
        ("near", alone & strict["infrared"], bits["infrared"], like["infrared"]),
        ("near_visible", ~pair & strict["visible"], bits["visible"], like["visible"]),
    ):
        for i in np.flatnonzero(chosen):
            links.append(Link(int(a[i]), int(b[i]), kind, int(distance[i]), float(correlation[i])))
    return links


def _correlation(fingerprints: np.ndarray, a: np.ndarray, b: np.ndarray, slide: np.ndarray) -> np.ndarray:
    """Of fingerprints a with b (n,); where `slide` and low, the best shift by up to `SLIDE` cells, either way round."""
    first, second = (fingerprints[rows].reshape(len(rows), -1).astype(np.float32) for rows in (a, b))
    size = first.shape[1]
    covariance = np.einsum("ij,ij->i", first, second) / size - first.mean(axis=1) * second.mean(axis=1)
    result = covariance / np.maximum(first.std(axis=1) * second.std(axis=1), 1e-6)
    inner = slice(SLIDE, -SLIDE)
    for i in np.flatnonzero(slide & (result < CORRELATED)):
        first, second = fingerprints[a[i]], fingerprints[b[i]]
        for whole, part in ((first, second[inner, inner]), (second, first[inner, inner])):
            best = float(cv2.matchTemplate(whole, part, cv2.TM_CCOEFF_NORMED).max())
            result[i] = max(result[i], best)
    return result


def candidates(phash: np.ndarray, groups: list[str], usable: np.ndarray, exhaustive: int = EXHAUSTIVE) -> np.ndarray:
    """Pairs of rows (m, 2), the first smaller, whose 64-bit hashes are at most `RADIUS` bits apart; a few a row.

    Equal hashes are searched once. Up to `exhaustive` different ones all are compared; beyond, faiss's HNSW graph is
    asked, which may miss a few.
    """
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(phash[rows], kind="stable")]
    keys, starts, counts = np.unique(phash[rows], return_index=True, return_counts=True)
    key_of = np.repeat(np.arange(len(keys)), counts)
    stands_for = _representatives(rows, starts, counts, groups)
    found = []
    for step in STEPS:
        same = key_of[:-step] == key_of[step:]
        found.append((rows[:-step][same], rows[step:][same]))
    found += [(rows, stands_for[key_of, column]) for column in range(REPRESENTATIVES)]
    if len(keys) > 1:
        near = _nearest(keys, exhaustive)
        many = counts[near[:, 0]]
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        first = rows[np.repeat(starts[near[:, 0]], many) + within]
        other = np.repeat(near[:, 1], many)
        found += [(first, stands_for[other, column]) for column in range(REPRESENTATIVES)]
    pairs = np.concatenate([np.stack(pair, axis=1) for pair in found])
    pairs = np.sort(pairs[(pairs[:, 1] >= 0) & (pairs[:, 0] != pairs[:, 1])], axis=1)
    return np.unique(pairs, axis=0)


def _representatives(rows: np.ndarray, starts: np.ndarray, counts: np.ndarray, groups: list[str]) -> np.ndarray:
    """For each hash the first rows that have it, each of another group: (keys, REPRESENTATIVES), −1 where no more."""
    result = np.full((len(starts), REPRESENTATIVES), -1)
    if len(starts):
        result[:, 0] = rows[starts]
    for key in np.flatnonzero(counts > 1):
        first: dict[str, int] = {}
        for row in rows[starts[key] : starts[key] + counts[key]]:
            first.setdefault(groups[row], int(row))
        chosen = list(first.values())[:REPRESENTATIVES]
        result[key, : len(chosen)] = chosen
    return result


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
