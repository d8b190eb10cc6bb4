"""Masks to a segmentation map: a picture that the autoencoder can read, beside the visible one (paper §3.4).

The released code draws the union of all masks, white on black, which is nearly all white. `regions` keeps what the
paper wants from SAM, layout: one flat colour a region, a darker line between neighbours, black where nothing was found.
The colours are soft: vivid ones and black lines are what an autoencoder of pictures encodes worst.
"""

import colorsys

import numpy as np

RENDERINGS = ("regions", "edges", "union")


def label_map(masks: np.ndarray) -> np.ndarray:
    """Masks bool (N, H, W), overlapping, in any order → uint16 (H, W): 0 = uncovered, 1 = the largest region, …

    Large ones are painted first, so that a window stays visible on its house. Equal areas are ordered by position.
    """
    masks = np.asarray(masks, dtype=bool)
    labels = np.zeros(masks.shape[1:], dtype=np.uint16)
    order = sorted(range(len(masks)), key=lambda k: (-int(masks[k].sum()), masks[k].tobytes()))
    for rank, k in enumerate(order, start=1):
        labels[masks[k]] = rank
    return labels


def colour(rank: int) -> tuple[int, int, int]:
    """The colour of the region of that area rank, 1 the largest: golden-ratio hues, soft, never dark."""
    hue = (0.58 + 0.61803398875 * (rank - 1)) % 1.0
    saturation, value = ((0.44, 0.65), (0.36, 0.93), (0.56, 0.85))[rank % 3]
    return tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))


def boundaries(labels: np.ndarray) -> np.ndarray:
    """Pixels whose right or lower neighbour belongs to another region: bool (H, W), lines of one pixel."""
    edge = np.zeros(labels.shape, dtype=bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def regions(masks: np.ndarray) -> np.ndarray:
    """Region boundaries and identity: bool (N, H, W) → uint8 (H, W, 3). The order of the masks does not matter."""
    labels = label_map(masks)
    palette = np.array([(0, 0, 0), *(colour(rank) for rank in range(1, labels.max() + 1))], dtype=np.uint8)
    picture = palette[labels]
    picture[boundaries(labels)] //= 2  # darker, but a thin region keeps its hue
    return picture


def edges(masks: np.ndarray) -> np.ndarray:
    """Boundaries alone, white on black: bool (N, H, W) → uint8 (H, W, 3)."""
    return np.repeat(np.uint8(255) * boundaries(label_map(masks))[..., None], 3, axis=2)


def union(masks: np.ndarray) -> np.ndarray:
    """The released code's map: white wherever any mask is. bool (N, H, W) → uint8 (H, W, 3)."""
    return np.repeat(np.uint8(255) * np.asarray(masks, dtype=bool).any(axis=0)[..., None], 3, axis=2)


def masks_of_labels(labels: np.ndarray) -> np.ndarray:
    """A label image (H, W), 0 = background, as masks (N, H, W): true masks of a simulated scene, drawn the same way."""
    labels = np.asarray(labels)
    numbers = np.unique(labels[labels > 0])
    return labels[None] == numbers[:, None, None]


def render(masks: np.ndarray, kind: str = "regions") -> np.ndarray:
    """The map of that kind, one of `RENDERINGS`; uint8 (H, W, 3)."""
    if kind not in RENDERINGS:
        raise ValueError(f"unknown rendering {kind!r}: choose one of {', '.join(RENDERINGS)}")
    return {"regions": regions, "edges": edges, "union": union}[kind](masks)
