"""The sample scenes as arrays: all of one scene at one index, and targets in the training loop's layout."""

import numpy as np
import pytest
import torch
from PIL import Image

from v2ir_lib.errors import UserError
from v2ir_lib.files import repo_root
from v2ir_lib.records import read_manifest
from v2ir_lib.tutorial.samples import read_samples, target_data


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


class Known:
    """Stands in for the encoders: a picture's 'moments' are its own mean grey."""

    def moments(self, pictures):
        return np.broadcast_to(
            pictures.reshape(len(pictures), -1).mean(1)[:, None, None, None], (len(pictures), 8, 2, 2)
        )


def test_targets_keep_scene_and_look_apart():
    looks = [np.full((2, 4, 4), 10, np.uint8), np.full((2, 4, 4, 3), 20, np.uint8)]
    looks[1][1] = 30
    data = target_data(looks, Known(), torch.zeros(1, 5, 6))
    assert (data.scenes, data.crops, data.looks, data.latent_shape) == (2, 1, 2, (4, 2, 2))
    picked = data.infrared_moments([0, 1], [0, 0], [0, 1])
    assert picked[:, 0, 0, 0].tolist() == [10, 30]
    assert data.text_states([0, 1]).shape == (2, 5, 6) and data.visible_latents([0], [0]) is None
