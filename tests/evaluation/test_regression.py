"""The plain U-Net sees the same pairs, crops, cameras and batches as the diffusion model."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import pixel_unshuffle

from v2ir_lib.diffusion.components import load_unet
from v2ir_lib.evaluation import regression
from v2ir_lib.evaluation.regression import L1, answers, picture_data, predict, start_regression, to_model
from v2ir_lib.files import repo_root
from v2ir_lib.plm.dataset import crops_of, looks_of
from v2ir_lib.plm.draws import draw_batch
from v2ir_lib.plm.phases import get_phase
from v2ir_lib.plm.train import train
from v2ir_lib.profiles import TINY

SCENES = 5
PHASE_2 = repo_root() / "models" / "tiny" / "phase2_unet"


class FakeScenes:
    """Pictures that say whose they are: a scene's grey, plus its camera's number."""

    name = "fake"

    def __init__(self):
        self.visible = np.stack([np.full((40, 40, 3), 10 * i, np.uint8) for i in range(SCENES)])
        self.visible[:, :, 20:] += 100

    def __len__(self):
        return SCENES

    def infrared(self, scene: int, camera: str) -> np.ndarray:
        picture = np.full((32, 32), 10 * scene + list(PHASE.cameras).index(camera), np.uint8)
        picture[:, 16:] += 100
        return picture

    def infrared_content(self, chunk):
        raise AssertionError("nothing is cached here")


PHASE = get_phase("phase2", TINY)
PHASE = replace(PHASE, settings=replace(PHASE.settings, steps=3, batch_size=4, window=16, first_rate=1.0))
ENCODERS = SimpleNamespace(
    profile=SimpleNamespace(image_size=32), crops=lambda scene, count: crops_of(scene, count, 36, 32)
)


@pytest.fixture(scope="module")
def data():
    return picture_data(FakeScenes(), PHASE, ENCODERS)


@pytest.fixture
def small(monkeypatch):
    shape = dict(block_out_channels=(8, 8), down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2)
    monkeypatch.setattr(regression, "SHAPE", regression.SHAPE | shape | {"norm_num_groups": 4})


def test_pictures_are_where_latents_would_be(data):
    assert data.visible.shape == (SCENES, 4, 3, 32, 32) and data.infrared.shape == (SCENES, 4, 3, 2, 32, 32)
    assert data.latent_shape == (1, 32, 32) and not data.infrared[:, :, :, 1].any()
    for scene in range(SCENES):
        for k in range(4):
            looks = looks_of(scene, k, PHASE.cameras, 3)
            dark = np.quantile(data.infrared[scene, k, :, 0].astype(float), 0.2, axis=(1, 2))  # the edge rings
            expected = [10 * scene + list(PHASE.cameras).index(camera) for camera in looks]
            assert (dark + 1) * 127.5 == pytest.approx(expected, abs=0.3)
    flipped = data.visible[0, 1, 0]  # the first mirrored crop: the bright half is on the left, in both pictures
    assert flipped[:, 0].mean() > flipped[:, -1].mean() and data.infrared[0, 1, 0, 0][0, 0] > 0.0 - 0.3


def test_its_batches_are_the_diffusion_models(data):
    """Of the same scenes, crops and looks: keyed draws come before any noise."""
    latents = np.zeros((SCENES, 4, 3, 8, 8, 8), np.float16)
    latents += np.arange(SCENES * 12).reshape(SCENES, 4, 3, 1, 1, 1)
    whole = replace(PHASE, settings=replace(PHASE.settings, window=0))
    blank = np.zeros((SCENES, 4, 4, 8, 8), np.float16)
    theirs = draw_batch(replace(data, infrared=latents, visible=blank, segments=blank), whole, seed=3, step=1)
    ours = draw_batch(data, whole, seed=3, step=1)
    for number, picture in zip(theirs.infrared[:, 0, 0, 0].long().tolist(), ours.infrared, strict=True):
        scene, k, look = number // 12, number // 3 % 4, number % 3
        assert torch.equal(picture, torch.from_numpy(data.infrared[scene, k, look]).float())


def test_l1_by_hand(data):
    batch = draw_batch(data, PHASE, seed=0, step=0)
    assert batch.visible.shape == (4, 3, 16, 16), "windows, as in phase 2"
    truth = pixel_unshuffle(batch.infrared[:, :1], regression.FOLD)
    right = L1()(lambda x, t: SimpleNamespace(sample=truth), batch)
    off = L1()(lambda x, t: SimpleNamespace(sample=truth - 0.25), batch)
    assert float(right) == 0 and float(off) == pytest.approx(0.25)


def test_every_pixel_comes_back_to_its_place():
    """A network that hands on what it gets of the first colour answers with that colour."""
    visible = torch.rand(2, 3, 16, 24)
    answer = predict(lambda x, t: SimpleNamespace(sample=x[:, : regression.FOLD**2]), visible)
    assert torch.equal(answer, visible[:, :1])


def test_it_is_about_as_large_as_the_diffusion_model():
    mine, its = (sum(p.numel() for p in unet.parameters()) for unet in (start_regression(0), load_unet(PHASE_2)))
    assert 0.9 < mine / its < 1.2


def test_it_trains_in_the_common_loop_and_comes_back_from_its_folder(data, small, tmp_path):
    unet = start_regression(seed=1)
    assert torch.equal(unet.conv_in.weight, start_regression(seed=1).conv_in.weight)
    assert not torch.equal(unet.conv_in.weight, start_regression(seed=2).conv_in.weight)
    train(unet, PHASE, data, L1(), seed=0, folder=tmp_path / "run")
    unet.save_pretrained(tmp_path / "unet")
    again = start_regression(seed=1, folder=tmp_path / "unet")
    assert not torch.equal(again.conv_in.weight, start_regression(seed=1).conv_in.weight)
    assert all(weight.requires_grad for weight in again.parameters())
    visible = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3)).astype(np.uint8)
    found = answers(again, visible)
    assert found.shape == (3, 32, 32) and found.dtype == np.uint8
    assert np.array_equal(found, answers(unet, visible))


def test_pictures_to_the_networks_range():
    assert to_model(np.array([[0, 255]], np.uint8)).tolist() == [[-1.0, 1.0]]
    assert to_model(np.zeros((4, 6, 3), np.uint8)).shape == (3, 4, 6)
