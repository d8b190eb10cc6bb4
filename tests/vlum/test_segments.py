"""The segmentation map keeps boundaries and identity, whatever the order of the masks."""

import numpy as np
import pytest
from scipy import ndimage

from v2ir_lib.vlum import segments


@pytest.fixture
def masks():
    """A ground, a house on it, a window in the house, and a car; the upper rows are not covered. (4, 40, 60)"""
    boxes = [(10, 40, 0, 60), (12, 30, 10, 30), (15, 20, 15, 20), (30, 38, 40, 55)]
    found = np.zeros((4, 40, 60), bool)
    for mask, (top, bottom, left, right) in zip(found, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return found


def test_label_map_paints_large_ones_first(masks):
    labels = segments.label_map(masks)
    assert labels[5, 5] == 0 and labels[11, 5] == 1, "uncovered; the ground"
    assert labels[13, 12] == 2 and labels[35, 45] == 3 and labels[17, 17] == 4, "the window stays on its house"


@pytest.mark.parametrize("kind", segments.RENDERINGS)
def test_order_of_masks_does_not_matter(masks, kind):
    picture = segments.render(masks, kind)
    assert picture.dtype == np.uint8 and picture.shape == (40, 60, 3)
    for seed in range(4):
        shuffled = masks[np.random.default_rng(seed).permutation(4)]
        assert np.array_equal(segments.render(shuffled, kind), picture)


def test_order_does_not_matter_among_equal_areas():
    masks = np.zeros((3, 8, 12), bool)
    for k in range(3):
        masks[k, 2:6, 4 * k : 4 * k + 4] = True
    assert np.array_equal(segments.regions(masks[::-1]), segments.regions(masks))


def test_regions_keep_identity(masks):
    picture = segments.regions(masks)
    inside = [picture[5, 5], picture[11, 5], picture[14, 12], picture[33, 45], picture[17, 17]]
    assert len({tuple(colour) for colour in inside}) == 5
    assert not inside[0].any(), "uncovered is black"


def test_regions_keep_boundaries(masks):
    """Along each border runs a line of half its region's brightness; everywhere else the colour is the region's own."""
    picture, labels = segments.regions(masks), segments.label_map(masks)
    edge = segments.boundaries(labels)
    assert edge[20, 9] and edge[11, 15] and edge[20, 29]
    flat = np.array([(0, 0, 0), *map(segments.colour, range(1, labels.max() + 1))])[labels]
    assert np.array_equal(picture[edge], flat[edge] // 2) and np.array_equal(picture[~edge], flat[~edge])
    assert flat[masks.any(0)].max(1).min() > 128, "a region is never as dark as a line or as what no mask covers"


def test_union_is_what_the_release_draws_and_loses_it_all(masks):
    union = segments.union(masks)
    assert np.array_equal(union[..., 0] == 255, masks.any(0)) and set(np.unique(union)) == {0, 255}
    assert len(np.unique(segments.regions(masks).reshape(-1, 3), axis=0)) > 2


def test_colours_are_distinct_and_bright():
    colours = np.array([segments.colour(rank) for rank in range(1, 65)])
    distances = np.abs(colours[:, None] - colours[None]).max(2) + 255 * np.eye(64, dtype=int)
    assert distances.min() >= 8 and colours.max(1).min() > 150
    first = distances[:12, :12]
    assert first.min() >= 40, "the large regions differ clearly"


def test_rendering_by_name(masks):
    for kind in segments.RENDERINGS:
        assert np.array_equal(segments.render(masks, kind), getattr(segments, kind)(masks))


def test_no_masks_at_all():
    none = np.zeros((0, 5, 6), bool)
    for kind in segments.RENDERINGS:
        assert segments.render(none, kind).shape == (5, 6, 3) and not segments.render(none, kind).any()


def test_true_masks_draw_the_same_way(masks):
    labels = segments.label_map(masks)
    assert np.array_equal(segments.regions(segments.masks_of_labels(labels))[5, 5], [0, 0, 0])
    assert len(segments.masks_of_labels(labels)) == 4
    assert np.array_equal(segments.masks_of_labels(labels).any(0), labels > 0)


def test_unknown_rendering(masks):
    with pytest.raises(ValueError, match="choose one of"):
        segments.render(masks, "heatmap")


# --- why `union`, the released code's map, throws the layout away ---------------------------------------------------


def cover(seed: int) -> np.ndarray:
    """Masks that leave no pixel out, as SAM's mostly do: 4 to 9 cells of a random mosaic, in any order. (N, 48, 64)"""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, (48, 64), (rng.integers(4, 10), 2))
    y, x = np.mgrid[:48, :64]
    nearest = ((y[..., None] - places[:, 0]) ** 2 + (x[..., None] - places[:, 1]) ** 2).argmin(axis=-1)
    return nearest == rng.permutation(len(places))[:, None, None]


def neighbours(labels: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of regions that touch along a side of some pixel."""
    beside = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    return {
        (int(a), int(b)) for one, other in beside for a, b in zip(one.ravel(), other.ravel(), strict=True) if a != b
    }


@pytest.mark.parametrize("seed", range(8))
def test_the_union_of_masks_that_cover_the_picture_is_one_white_sheet(seed):
    masks = cover(seed)
    assert len(masks) >= 4 and masks.any(axis=0).all()
    assert (segments.union(masks) == 255).all()
    assert np.array_equal(segments.union(masks), segments.union(cover(seed + 100))), "two layouts, one map"


@pytest.mark.parametrize("seed", range(8))
def test_regions_tell_every_pair_of_neighbours_apart(seed):
    """Away from the darker lines each region has one colour, and no two that touch have the same or nearly so."""
    masks = cover(seed)
    labels, picture = segments.label_map(masks), segments.regions(masks)
    inside = ~segments.boundaries(labels)
    colours = {}
    for region in np.unique(labels):
        found = np.unique(picture[inside & (labels == region)], axis=0)
        assert len(found) == 1
        colours[int(region)] = found[0].astype(int)
    pairs = neighbours(labels)
    assert len(pairs) >= 3
    assert min(np.abs(colours[a] - colours[b]).max() for a, b in pairs) >= 40


@pytest.mark.parametrize("seed", range(8))
def test_edges_keep_the_boundaries_and_with_them_the_regions(seed):
    """White exactly where a region meets its right or lower neighbour; what the lines enclose are the regions again."""
    masks = cover(seed)
    labels, drawn = segments.label_map(masks), segments.edges(masks)[..., 0] == 255
    expected = np.zeros_like(drawn)
    for y, x in np.ndindex(labels.shape):
        right, below = labels[y, min(x + 1, 63)], labels[min(y + 1, 47), x]
        expected[y, x] = labels[y, x] != right or labels[y, x] != below
    assert np.array_equal(drawn, expected) and drawn.any()
    enclosed, count = ndimage.label(~drawn)
    assert all(len(np.unique(labels[enclosed == piece])) == 1 for piece in range(1, count + 1))
    assert len({int(labels[enclosed == piece][0]) for piece in range(1, count + 1)}) == len(masks)
