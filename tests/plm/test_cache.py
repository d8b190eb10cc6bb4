"""Computed once; again if anything that made it changes; never read when damaged."""

import numpy as np
import pytest
from small_runs import small_unet

from v2ir_lib.files import cache_dir
from v2ir_lib.plm.cache import Items, Kept, cached, chunks, fingerprint, weights_fingerprint


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test here reads or fills the real cache."""
    monkeypatch.setenv("V2IR_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def squares():
    """A cached function of pictures and a model's name, and how often it was really called."""
    calls = []

    def compute_all(pictures: np.ndarray, model: str = "one", share=None):
        def compute(chunk):
            calls.append(chunk)
            return {"squares": pictures[chunk] ** 2, "words": np.array([f"{model} é {x}" for x in pictures[chunk]])}

        what = "squares", len(pictures), lambda chunk: (model, pictures[chunk]), compute
        return Kept(*what, size=4).fill(share) if share else cached(*what, size=4)

    return compute_all, calls


def test_the_second_time_nothing_is_computed(squares):
    compute_all, calls = squares
    pictures = np.arange(10.0)
    first = compute_all(pictures)
    assert first["squares"].tolist() == (pictures**2).tolist() and first["words"][9] == "one é 9.0"
    assert len(calls) == 3
    second = compute_all(pictures)
    assert len(calls) == 3 and all(np.array_equal(first[name], second[name]) for name in first)


def test_another_model_or_picture_is_computed_and_only_that(squares):
    compute_all, calls = squares
    pictures = np.arange(10.0)
    compute_all(pictures)
    compute_all(pictures, model="two")
    assert len(calls) == 6
    pictures[9] += 1
    assert compute_all(pictures)["squares"][9] == 100
    assert len(calls) == 7  # only the chunk that holds it


def test_a_damaged_file_is_computed_again(squares, tmp_path):
    compute_all, calls = squares
    first = compute_all(np.arange(10.0))
    files = sorted((tmp_path / "cache").rglob("*.npz"))
    assert len(files) == 3
    files[0].write_bytes(files[0].read_bytes()[:50])
    files[1].write_bytes(b"")
    again = compute_all(np.arange(10.0))
    assert len(calls) == 5 and np.array_equal(first["squares"], again["squares"])


def test_processes_share_out_the_chunks_and_any_reads_all(squares):
    compute_all, calls = squares
    compute_all(np.arange(10.0), share=(0, 2))
    assert [chunk.start for chunk in calls] == [0, 8]
    compute_all(np.arange(10.0), share=(1, 2))
    assert [chunk.start for chunk in calls] == [0, 8, 4]
    compute_all(np.arange(10.0), share=(0, 1))
    assert len(compute_all(np.arange(10.0))["squares"]) == 10 and len(calls) == 3


@pytest.fixture
def items():
    """Ten pictures that are read when asked for, and which chunks were computed and named."""
    computed, named = [], []

    def made_from(chunk):
        named.append(chunk.start)
        return "pictures", chunk.start

    def compute(chunk):
        computed.append(chunk.start)
        return {"pictures": np.arange(10)[chunk, None] * np.ones((1, 3), int)}

    return lambda: Items(Kept("pictures", 10, made_from, compute, size=4, packed=True), "pictures"), computed, named


def test_items_are_what_an_array_would_be(items):
    whole = np.arange(10)[:, None] * np.ones((1, 3), int)
    some = items[0]()
    assert len(some) == 10 and np.array_equal(np.stack(list(some)), whole)
    for part in (slice(None), slice(3, 9), slice(8, 20), slice(None, None, -3)):
        assert np.array_equal(some[part], whole[part])
    assert np.array_equal(some[-1], whole[-1])
    with pytest.raises(IndexError):
        some[10]


def test_items_are_computed_when_they_are_asked_for_and_once(items):
    make, computed, _ = items
    some = make()
    some[5], some[6], some[7]
    assert computed == [4]
    some[2:6]
    assert computed == [4, 0]
    assert [one[0] for one in make()] == list(range(10))
    assert computed == [4, 0, 8], "another reader finds them in the cache"


def test_items_name_what_decides_them_without_reading(items):
    make, computed, named = items
    some = make()
    first, second, across = some.content(slice(0, 4)), some.content(slice(4, 8)), some.content(slice(0, 8))
    assert len({fingerprint(one) for one in (first, second, across)}) == 3 and first == make().content(slice(0, 4))
    assert len(first[-1]) == 1 and across[-1] == first[-1] + second[-1]
    assert computed == [] and named == [0, 4, 0], "each chunk is named once by a reader"


def test_a_damaged_chunk_of_items_is_computed_again(items, tmp_path):
    make, computed, _ = items
    make().kept.fill()
    for file in (tmp_path / "cache").rglob("*.npz"):
        file.write_bytes(file.read_bytes()[:40])
    some = make()
    some.kept.fill()
    assert computed == [0, 4, 8], "a file that is there is not looked into"
    assert some[9][0] == 9 and computed == [0, 4, 8, 8]


def test_what_is_packed_is_small_and_the_same():
    flat = np.zeros((4, 64, 64, 3), np.uint8)
    sizes = {}
    for packed in (False, True):
        kept = Kept(f"maps-{packed}", 4, lambda chunk: ("maps",), lambda chunk: {"maps": flat}, packed=packed)
        kept.fill()
        [path] = (cache_dir() / "plm" / kept.kind).glob("*.npz")
        sizes[packed] = path.stat().st_size
        assert np.array_equal(kept.read()["maps"], flat)
    assert sizes[True] < 0.02 * sizes[False]


def test_fingerprints_tell_bytes_shapes_and_types_apart():
    a = np.arange(6, dtype=np.uint8)
    different = {fingerprint(x) for x in (a, a.reshape(2, 3), a.astype(np.int8), a[::-1], "a", ("a",), 1, 1.0)}
    assert len(different) == 8
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint(a.reshape(2, 3).T) == fingerprint(np.ascontiguousarray(a.reshape(2, 3).T))


def test_a_model_is_told_by_its_weights():
    unet = small_unet(4)
    before = weights_fingerprint(unet)
    assert before == weights_fingerprint(small_unet(4)) != weights_fingerprint(small_unet(4, seed=1))
    unet.conv_out.bias.data[0] += 1e-6
    assert weights_fingerprint(unet) != before


def test_chunks_cover_everything_once():
    assert [i for chunk in chunks(10, 4) for i in range(10)[chunk]] == list(range(10))
