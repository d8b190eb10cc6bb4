"""Videos without sequence ids: frames that follow each other and look alike are found, other neighbours are not."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from v2ir_lib.data import clusters
from v2ir_lib.data.clusters import alike_links, grey_features, temporal_links, unit_length
from v2ir_lib.data.publishing import links_by_looks
from v2ir_lib.data.union_find import joined
from v2ir_lib.errors import UserError
from v2ir_lib.records import Record

LENGTHS = (5, 1, 7, 2, 6)  # of the five videos, one after the other in the numbering


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Frames numbered from 1 through all videos, as M3FD's are: a camera that drifts over a picture of its own."""
    folder, rng, records, truth = tmp_path_factory.mktemp("videos"), np.random.default_rng(2), [], []
    for video, length in enumerate(LENGTHS):
        ground = gaussian_filter(rng.normal(size=(100, 160)), 6)
        ground = (255 * (ground - ground.min()) / np.ptp(ground)).astype(np.uint8)
        for frame in range(length):
            name = f"{len(records) + 1:05d}.png"
            for kind, sign in (("visible", 1), ("infrared", -1)):
                view = ground[10:82, 3 * frame : 3 * frame + 96].astype(float)
                view = np.clip(sign * (view - 128) + 128 + rng.normal(0, 6, view.shape), 0, 255).astype(np.uint8)
                (folder / kind).mkdir(exist_ok=True)
                Image.fromarray(view).save(folder / kind / name)
            records.append(
                Record(f"m3fd/{name}", f"m3fd/{name}", f"visible/{name}", f"infrared/{name}", dataset="m3fd")
            )
            truth.append(video)
    return folder, records, np.array(truth)


def test_videos_are_found_again(videos):
    folder, records, truth = videos
    labels = joined(len(records), links_by_looks(records, folder, progress=False))
    assert np.array_equal(labels, truth)


def test_embeddings_decide_instead(videos):
    folder, records, _ = videos
    embeddings = np.eye(len(records))
    embeddings[9] = embeddings[2] * 7  # far apart in number, equal in looks
    assert links_by_looks(records, folder, embeddings, progress=False).tolist() == [[2, 9]]
    with pytest.raises(UserError, match="3 embeddings for 21 rows"):
        links_by_looks(records, folder, embeddings[:3], progress=False)


def test_rows_with_a_sequence_are_not_looked_at(videos, tmp_path):
    records = [Record(str(i), f"g{i // 2}", "missing.png", "missing.png") for i in range(6)]
    assert links_by_looks(records, tmp_path, progress=False).shape == (0, 2)


def test_features(videos):
    folder, records, _ = videos
    features = grey_features(records[:3], "visible", folder, progress=False)
    assert features.shape == (3, 768) and features.dtype == np.float32
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5) and np.allclose(
        features.mean(axis=1), 0, atol=1e-6
    )
    thermal = grey_features(records[:3], "infrared", folder, progress=False)
    assert (features * thermal).sum(axis=1).max() < -0.9, "the negative of a picture correlates at -1"
    assert unit_length(np.zeros((1, 4))).tolist() == [[0, 0, 0, 0]]


def test_a_frame_around_the_picture_is_cut_off(tmp_path):
    """DroneVehicle's white frame would make all pictures alike."""
    rng, records = np.random.default_rng(0), []
    for i in range(2):
        picture = np.full((40, 60), 255, np.uint8)
        picture[10:30, 10:50] = rng.integers(0, 120, (20, 40))
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
        records.append(Record(str(i), str(i), "", f"{i}.png", crop="10,10,50,30"))
    framed = grey_features([Record(r.id, r.id, "", r.infrared) for r in records], "infrared", tmp_path, progress=False)
    cut = grey_features(records, "infrared", tmp_path, progress=False)
    assert framed[0] @ framed[1] > 0.9 > 0.3 > abs(cut[0] @ cut[1])


def test_numbers_must_follow():
    features = np.ones((6, 1), np.float32)
    links = temporal_links(["a", "a", "a", "b", "a", "a"], [1, 3, 7, 2, -1, 6], features)
    assert links.tolist() == [[0, 1], [1, 5], [5, 2]]  # 1-3, 3-6, 6-7; 7 is 4 from 3; no number, no neighbour


def test_the_graph_search_finds_what_the_exact_one_does(monkeypatch):
    rng = np.random.default_rng(0)
    features = unit_length(np.repeat(rng.normal(size=(150, 32)), 2, axis=0) + rng.normal(0, 0.05, (300, 32)))
    exact = alike_links(features)
    assert exact.tolist() == [[i, i + 1] for i in range(0, 300, 2)]
    monkeypatch.setattr(clusters, "EXACT", 100)
    assert len(alike_links(features)) >= 0.97 * len(exact)


def test_unreadable(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(UserError, match=r"a\.png"):
        grey_features([Record("a", "a", "a.png", "")], "visible", tmp_path, progress=False)
