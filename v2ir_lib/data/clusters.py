"""Which pictures belong together where no sequence ids say so (M3FD): they look alike, and their numbers follow.

Two frames of a video differ little and stand beside each other in the numbering; two pictures that are almost equal
belong together wherever they stand. The feature is an embedding that somebody hands in, or a small grey picture.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from v2ir_lib.data.reading import read_infrared, read_visible
from v2ir_lib.records import Record

WIDTH, HEIGHT = 32, 24  # of the small grey picture
# Measured with both modalities in one feature: pictures of one fixed camera (LLVIP) reach 0.57 at the lower quartile,
# of different cameras 0.26 at most; two different drives (RoadScene) reach 0.67 once in a hundred, 0.84 at most.
NEIGHBOUR = 0.6  # cosine from which two pictures with neighbouring numbers are of one sequence
ALIKE = 0.92  # cosine from which two pictures are of one sequence wherever they stand
GAP = 3  # numbers that far apart still follow each other: frames are left out
EXACT = 20_000  # rows up to which every pair is looked at; above, a graph search that grows as n log n


def grey_features(records: Sequence[Record], kind: str, folder: str | Path, progress: bool = True) -> np.ndarray:
    """Small grey pictures without their mean, of length 1, (N, 768) float32: their product is the correlation.

    kind: "visible" or "infrared". folder: the manifest's. Raises `UserError` for a file that cannot be read.
    """
    read = {"visible": read_visible, "infrared": read_infrared}[kind]
    features = np.zeros((len(records), WIDTH * HEIGHT), np.float32)
    for row, record in enumerate(tqdm(records, desc=f"looking at {kind}", unit="image", disable=not progress)):
        picture = Image.fromarray(read(record, folder)).convert("L")
        features[row] = np.asarray(picture.resize((WIDTH, HEIGHT), Image.Resampling.BOX), np.float32).ravel()
    return unit_length(features - features.mean(axis=1, keepdims=True))


def unit_length(features: np.ndarray) -> np.ndarray:
    """Each row divided by its length, float32; a row of zeros stays one, and is like nothing."""
    features = np.asarray(features, np.float32)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1)


def temporal_links(series: Sequence[str], numbers: Sequence[int], features: np.ndarray) -> np.ndarray:
    """Links between pictures that follow each other in one series and look alike, (L, 2) row numbers.

    series, numbers: (N,) what the number counts within, and the number; negative for a picture without one.
    features: (N, D) of unit length. At most `GAP` numbers apart, cosine at least `NEIGHBOUR`.
    """
    order = sorted((row for row in range(len(numbers)) if numbers[row] >= 0), key=lambda r: (series[r], numbers[r], r))
    pairs = []
    for place, row in enumerate(order):
        for other in order[place + 1 : place + 1 + GAP]:
            if series[other] != series[row] or numbers[other] - numbers[row] > GAP:
                break
            if float(features[row] @ features[other]) >= NEIGHBOUR:
                pairs.append((row, other))
    return np.array(pairs, np.int64).reshape(-1, 2)


def alike_links(features: np.ndarray, neighbours: int = 8) -> np.ndarray:
    """Links between pictures whose features have a cosine of at least `ALIKE`, (L, 2) row numbers.

    features: (N, D) of unit length. Each picture is linked to its nearest `neighbours` only: chains join the rest.
    """
    import faiss

    count, width = features.shape
    if count < 2:
        return np.zeros((0, 2), np.int64)
    features = np.ascontiguousarray(features, np.float32)
    index = faiss.IndexFlatIP(width)
    if count > EXACT:
        index = faiss.IndexHNSWFlat(width, 16, faiss.METRIC_INNER_PRODUCT)
    index.add(features)
    cosine, found = index.search(features, min(neighbours + 1, count))
    rows = np.repeat(np.arange(count), found.shape[1])
    keep = (cosine.ravel() >= ALIKE) & (found.ravel() >= 0) & (found.ravel() != rows)
    pairs = np.sort(np.stack([rows, found.ravel()], axis=1)[keep], axis=1)
    return np.unique(pairs, axis=0).reshape(-1, 2)
