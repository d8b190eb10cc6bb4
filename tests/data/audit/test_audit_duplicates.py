"""Which pairs are linked, which are not, and how many candidates there may be."""

import io

import imagehash
import numpy as np
import pytest
from PIL import Image

from v2ir_lib.data.audit import duplicates
from v2ir_lib.data.audit.checks import examine
from v2ir_lib.data.audit.duplicates import RADIUS, candidates, exact_links, near_links


def test_exact_kinds():
    links = exact_links(["v", "w", "v", "v", ""], ["i", "i", "i", "j", ""], [0, 1, 2, 3, 4])
    assert {(link.a, link.b): link.kind for link in links} == {
        (0, 2): "exact",
        (0, 3): "exact_visible",
        (0, 1): "exact_infrared",
    }


def test_exact_links_start_from_the_row_that_is_kept():
    """Linked to a row that is set aside alone, the others would not know of each other."""
    links = exact_links(["v"] * 3, ["i"] * 3, [2, 0, 1])
    assert {(link.a, link.b) for link in links} == {(0, 2), (1, 2)}


def hashes(count: int, seed: int = 0) -> np.ndarray:
    """Families of five, members a few bits from each other; some equal."""
    rng = np.random.default_rng(seed)
    keys = np.repeat(rng.integers(0, 2**63, -(-count // 5), dtype=np.uint64), 5)[:count]
    for _ in range(3):
        flip = rng.integers(0, 64, count).astype(np.uint64)
        keys ^= np.where(rng.random(count) < 0.7, np.uint64(1) << flip, np.uint64(0))
    return keys


def near_pairs(keys: np.ndarray) -> set[tuple[int, int]]:
    distance = np.bitwise_count(keys[:, None] ^ keys[None])
    return {(int(a), int(b)) for a, b in np.argwhere(distance <= RADIUS) if a < b}


@pytest.mark.parametrize("exhaustive", [10**9, 0], ids=["all", "graph"])
def test_candidates_are_all_pairs_within_the_radius(exhaustive):
    keys = hashes(600)
    found = {tuple(pair) for pair in candidates(keys, [str(i) for i in range(600)], np.ones(600, bool), exhaustive)}
    expected = near_pairs(keys)
    assert len(expected) > 1000
    assert found <= expected and len(found) >= 0.995 * len(expected)
    if exhaustive:
        assert found == expected


def test_unusable_rows_are_no_candidates():
    keys, usable = np.zeros(4, np.uint64), np.array([True, False, True, False])
    assert candidates(keys, list("abcd"), usable).tolist() == [[0, 2]]
    assert candidates(keys, list("abcd"), np.zeros(4, bool)).shape == (0, 2)


def test_a_still_camera_does_not_make_a_square_of_pairs():
    count = 2000
    keys, groups = np.full(count, 77, np.uint64), ["still"] * (count - 1) + ["elsewhere"]
    pairs = candidates(keys, groups, np.ones(count, bool))
    assert len(pairs) < 8 * count
    touching = {tuple(pair) for pair in pairs if count - 1 in pair}
    assert len(touching) == count - 1, "each row is compared with the other group"


def features(pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    bits = [imagehash.phash(Image.fromarray(picture)).hash.ravel() for picture in pictures]
    keys = [int.from_bytes(np.packbits(bit).tobytes(), "big") for bit in bits]
    return np.array(keys, np.uint64), np.stack([examine(picture, 0.0).fingerprint for picture in pictures])


def links_of(visible: list[np.ndarray], infrared: list[np.ndarray]):
    (v_hash, v_print), (i_hash, i_print) = features(visible), features(infrared)
    usable = {name: np.ones(len(visible), bool) for name in ("visible", "infrared")}
    groups = [str(i) for i in range(len(visible))]
    return near_links(
        groups, {"visible": v_hash, "infrared": i_hash}, {"visible": v_print, "infrared": i_print}, usable
    )


def again(picture: np.ndarray, cut: int) -> np.ndarray:
    """Cropped, stretched back, saved badly."""
    height, width = picture.shape
    small = Image.fromarray(picture[cut : height - cut, cut : width - cut]).resize((width, height))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=35)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("cut", [0, 2])
def test_a_copy_is_found_among_others(view, cut):
    visible, infrared = [view(seed) for seed in range(12)], [view(seed + 50) for seed in range(12)]
    found = links_of([*visible, again(visible[4], cut)], [*infrared, again(infrared[4], cut)])
    assert [(link.a, link.b, link.kind) for link in found] == [(4, 12, "near")]
    assert found[0].correlation >= duplicates.CORRELATED and found[0].distance <= duplicates.AGREED


def test_another_infrared_picture_of_the_same_view_is_near_visible(view):
    found = links_of([view(1), view(1), view(2)], [view(51), view(52), view(53)])
    assert [(link.a, link.b, link.kind) for link in found] == [(0, 1, "near_visible")]


def test_hashes_alone_do_not_make_a_duplicate(view):
    """Equal hashes, other pictures: the second feature decides."""
    prints = np.stack([examine(view(seed), 0.0).fingerprint for seed in (1, 2)])
    both = dict.fromkeys(("visible", "infrared"), np.array([5, 5], np.uint64))
    usable = dict.fromkeys(both, np.ones(2, bool))
    assert near_links(["a", "b"], both, dict.fromkeys(both, prints), usable) == []
    prints[1] = prints[0]
    assert len(near_links(["a", "b"], both, dict.fromkeys(both, prints), usable)) == 1


def test_infrared_alone_is_compared_by_itself(view):
    keys, prints = features([view(1), view(2), view(1)])
    usable = {"visible": np.zeros(3, bool), "infrared": np.ones(3, bool)}
    nothing = np.zeros(3, np.uint64), np.zeros_like(prints)
    found = near_links(
        list("abc"),
        {"visible": nothing[0], "infrared": keys},
        {"visible": nothing[1], "infrared": prints},
        usable,
    )
    assert [(link.a, link.b, link.kind, link.distance) for link in found] == [(0, 2, "near", 0)]


def test_many_hashes_are_searched_in_a_graph(monkeypatch):
    """Comparing all with all would grow with the square."""
    import faiss

    monkeypatch.setattr(faiss, "IndexBinaryFlat", lambda *_: pytest.fail("compared all"))
    assert len(candidates(hashes(50), [str(i) for i in range(50)], np.ones(50, bool), exhaustive=10)) > 50
