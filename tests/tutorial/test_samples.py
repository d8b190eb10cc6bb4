"""The sample scenes as arrays: all of one scene at one index, true regions, data in the training loop's layout."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from v2ir_lib.errors import UserError
from v2ir_lib.files import repo_root
from v2ir_lib.profiles import TINY
from v2ir_lib.records import read_manifest
from v2ir_lib.tutorial import samples as sampling
from v2ir_lib.tutorial.sample_latents import pair_data, target_data
from v2ir_lib.tutorial.samples import Samples, read_regions, read_samples, true_regions
from v2ir_lib.vlum.segments import boundaries, colour


def test_everything_at_one_index_is_of_one_scene():
    samples = read_samples(3, ("lwir-driving", "nir-security"))
    folder = repo_root() / "data_samples"
    rows = {(row.group, row.camera): row for row in read_manifest(folder / "manifest.csv")}
    assert len(samples) == len(set(samples.groups)) == 3
    assert samples.visible.shape == (3, 192, 192, 3) and samples.visible.dtype == np.uint8
    for i, group in enumerate(samples.groups):
        for camera, pictures in samples.infrared.items():
            row = rows[group, camera]
            assert samples.captions[i] == row.caption
            assert np.array_equal(pictures[i], np.asarray(Image.open(folder / row.infrared)))


def test_a_camera_without_pictures_is_named():
    with pytest.raises(UserError, match=r"no sample pictures of 'x-ray': choose among .*lwir-driving"):
        read_samples(1, ("x-ray",))


def test_regions_are_those_of_the_scene_at_the_index():
    every = read_samples(4)
    picked = replace(every, groups=[every.groups[3], every.groups[0]])
    instances, classes = read_regions(picked)
    assert instances.shape == classes.shape == (2, 192, 192)
    folder = repo_root() / "data_samples"
    rows = {row.group: row for row in read_manifest(folder / "manifest.csv")}
    for i, group in enumerate(picked.groups):
        assert np.array_equal(instances[i], np.asarray(Image.open(folder / rows[group].instances)))
        assert np.array_equal(classes[i], np.asarray(Image.open(folder / rows[group].classes)))


@pytest.fixture
def two_scenes(tmp_path, monkeypatch) -> Samples:
    """Pictures of 6 × 8 labels. Sky (class 0) over ground (class 2): two things of class 5 side by side, and one of
    class 2, the ground's own; then sky alone."""
    instances, classes = np.zeros((2, 2, 6, 8), np.uint8)
    classes[0, 3:] = 2
    instances[0, 2:4, 1:3], instances[0, 2:4, 3:6], instances[0, 4:, 7] = 1, 2, 4  # as 4 + 2 = 1 + 5: no sum will do
    classes[0, 2:4, 1:6] = 5
    for kind, pictures in (("instances", instances), ("classes", classes)):
        for i, name in enumerate(("one", "two")):
            path = tmp_path / "data_samples" / kind / f"{name}_00.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pictures[i]).save(path)
    monkeypatch.setattr(sampling, "repo_root", lambda: Path(tmp_path))
    return Samples(["one", "two"], ["a street", "a sky"], None, {})


def test_each_thing_and_each_class_around_is_a_region_by_size(two_scenes):
    one, two = true_regions(two_scenes)
    ranks = np.array(
        [
            [1, 1, 1, 1, 1, 1, 1, 1],  # sky: 19 pixels
            [1, 1, 1, 1, 1, 1, 1, 1],
            [1, 4, 4, 3, 3, 3, 1, 1],  # things of one class, of 4 and 6 pixels, are two regions
            [2, 4, 4, 3, 3, 3, 2, 2],  # ground: 17
            [2, 2, 2, 2, 2, 2, 2, 5],  # a thing of the ground's class, of 2, is none of it
            [2, 2, 2, 2, 2, 2, 2, 5],
        ]
    )
    expected = np.array([colour(rank) for rank in range(1, 6)], np.uint8)[ranks - 1]
    expected[boundaries(ranks)] //= 2
    assert np.array_equal(one, expected)
    assert np.array_equal(two, np.full((6, 8, 3), colour(1), np.uint8)), "sky too is a region, not a gap"


def test_true_regions_cover_the_shipped_scenes():
    samples = read_samples(2)
    pictures, (instances, classes) = true_regions(samples), read_regions(samples)
    assert pictures.shape == (2, 192, 192, 3) and pictures.dtype == np.uint8
    for picture, pair in zip(pictures, zip(instances, classes, strict=True), strict=True):
        labels = np.unique(np.stack(pair, axis=-1).reshape(-1, 2), axis=0, return_inverse=True)[1].reshape(192, 192)
        inside = ~boundaries(labels)
        assert picture.any(axis=-1).all(), "nothing is left black"
        for label in np.unique(labels[inside]):
            assert len(np.unique(picture[inside & (labels == label)], axis=0)) == 1


class Known:
    """Stands in for the encoders: a picture's mean is its mean grey, its log-variance -9. Keeps what it is asked."""

    profile = replace(TINY, image_size=4, prompt="show {caption} in infrared")

    def __init__(self):
        self.shapes, self.prompts = [], []

    def moments(self, pictures):
        self.shapes.append(pictures.shape)
        found = np.full((len(pictures), 8, 2, 2), -9, np.float16)
        found[:, :4] = pictures.reshape(len(pictures), -1).mean(1)[:, None, None, None]
        return found

    def text(self, prompts):
        self.prompts = prompts
        return torch.arange(len(prompts)).float()[:, None, None].expand(-1, 5, 6)


def test_targets_keep_scene_and_look_apart():
    looks = [np.full((2, 4, 4), 10, np.uint8), np.full((2, 4, 4, 3), 20, np.uint8)]
    looks[1][1] = 30
    data = target_data(looks, Known(), torch.zeros(1, 5, 6))
    assert (data.scenes, data.crops, data.looks, data.latent_shape) == (2, 1, 2, (4, 2, 2))
    picked = data.infrared_moments([0, 1], [0, 0], [0, 1])
    assert picked[:, 0, 0, 0].tolist() == [10, 30]
    assert data.text_states([0, 1]).shape == (2, 5, 6) and data.visible_latents([0], [0]) is None


def test_pairs_have_their_own_pictures_maps_and_words():
    """Every picture is of one grey level, so that what became of it can be read off its latents."""
    encoders = Known()
    grey = np.array([10, 20], np.uint8)[:, None, None]
    visible, segments = (np.broadcast_to((grey + more)[..., None], (2, 8, 8, 3)) for more in (100, 200))
    looks = [np.broadcast_to(grey + more, (2, 4, 4)) for more in (1, 2, 3)]
    data = pair_data(Samples(["0", "1"], ["a park", "a street"], visible, {}), looks, segments, encoders)
    assert (data.scenes, data.crops, data.looks, data.latent_shape) == (2, 1, 3, (4, 2, 2))
    targets = data.infrared_moments([0, 1], [0, 0], [2, 0])
    assert targets[:, 0, 0, 0].tolist() == [13, 21] and (targets[:, 4:] == -9).all(), "both moments"
    for latents, expected in (
        (data.visible_latents([0, 1], [0, 0]), [110, 120]),
        (data.segment_latents([0, 1], [0, 0]), [210, 220]),
    ):
        assert latents.shape == (2, 4, 2, 2), "the mode alone"
        assert latents.amin((1, 2, 3)).tolist() == latents.amax((1, 2, 3)).tolist() == expected
    assert data.visible.dtype == data.segments.dtype == np.float16
    assert encoders.shapes == [(2, 4, 4)] * 3 + [(2, 4, 4, 3)] * 2, "conditions in the profile's size"
    assert encoders.prompts == ["show a park in infrared", "show a street in infrared"]
    assert data.text_states([1, 0])[:, 0, 0].tolist() == [1, 0]
