"""Computed once; again if anything that made it changes; never read when damaged."""

import numpy as np
import pytest
from small_runs import small_unet

from v2ir_lib.plm.cache import cached, chunks, fingerprint, weights_fingerprint


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test here reads or fills the real cache."""
    monkeypatch.setenv("V2IR_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def squares():
    """A cached function of pictures and a model's name, and how often it was really called."""
    calls = []

    def compute_all(pictures: np.ndarray, model: str = "one", **options):
        def compute(chunk):
            calls.append(chunk)
            return {"squares": pictures[chunk] ** 2, "words": np.array([f"{model} é {x}" for x in pictures[chunk]])}

        return cached("squares", len(pictures), lambda chunk: (model, pictures[chunk]), compute, size=4, **options)

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
    assert compute_all(np.arange(10.0), share=(0, 2), read=False) is None
    assert [chunk.start for chunk in calls] == [0, 8]
    compute_all(np.arange(10.0), share=(1, 2), read=False)
    assert [chunk.start for chunk in calls] == [0, 8, 4]
    assert len(compute_all(np.arange(10.0))["squares"]) == 10 and len(calls) == 3


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
