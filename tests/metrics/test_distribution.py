"""KID against its definition, refusals of small sets, the feature network, and Inception's file."""

import numpy as np
import pytest
import torch

from v2ir_lib.errors import UserError
from v2ir_lib.files import sha256
from v2ir_lib.metrics import inception
from v2ir_lib.metrics.distribution import feature_distance, kernel_distance
from v2ir_lib.metrics.features import tiny_features, tiny_tower


def test_kid_is_its_definition():
    """Sums over all pairs i ≠ j, written out."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (16, 3)), rng.normal(0.5, 1, (16, 3))

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    pairs = [(i, j) for i in range(16) for j in range(16)]
    within = sum(kernel(x[i], x[j]) for x in (a, b) for i, j in pairs if i != j) / (16 * 15)
    across = sum(kernel(a[i], b[j]) for i, j in pairs) / 16**2
    found = kernel_distance(a, b, seed=1)
    assert found.value == pytest.approx(within - 2 * across) and found.n == 16
    assert kernel_distance(a, b, seed=1) == found != kernel_distance(a, b, seed=2)


def test_spread_is_that_of_random_halves():
    """The same, half by half, with the library's function."""
    from torchmetrics.image.kid import poly_mmd

    a, b = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (2, 40, 3)))
    rng = np.random.default_rng(5)
    halves = [[float(poly_mmd(*(x[torch.from_numpy(rng.permutation(40)[:20])] for x in (a, b))))] for _ in range(400)]
    assert kernel_distance(a, b, seed=0).spread == pytest.approx(np.std(halves), rel=0.3)


def test_kid_is_zero_on_average_and_small_sets_do_not_raise_it():
    """That is what it is for: a Fréchet distance of few samples is far above zero."""
    rng = np.random.default_rng(1)
    found = [kernel_distance(*rng.normal(0, 1, (2, 20, 4))).value for _ in range(60)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(60) and min(found) < 0 < max(found)
    assert kernel_distance(rng.normal(0, 1, (20, 4)), rng.normal(2, 1, (20, 4))).value > 10 * np.std(found)


def test_few_pictures_are_refused_in_one_line():
    few, many = np.zeros((511, 2)), np.random.default_rng(0).normal(size=(512, 2))
    with pytest.raises(UserError, match="needs 512 pictures or more on each side, here are 511; KID works from 16 on"):
        feature_distance(many, few)
    assert feature_distance(many, many + np.array([3, 4])) == pytest.approx(25)
    with pytest.raises(UserError, match=r"KID needs 16 pictures or more on each side, here are 15$"):
        kernel_distance(few[:15], few[:15])
    with pytest.raises(ValueError, match="one shape"):
        kernel_distance(few[:16], few[:17])


def test_features_of_a_picture_depend_on_it_alone():
    """Not on its neighbours, nor on whether grey is given once or three times."""
    tower = tiny_tower()
    pictures = np.random.default_rng(0).integers(0, 256, (66, 96, 96)).astype(np.uint8)
    found = tiny_features(tower, pictures)
    assert found.shape == (66, 64) and np.isfinite(found).all()
    np.testing.assert_allclose(tiny_features(tower, np.repeat(pictures[64:, ..., None], 3, -1)), found[64:], atol=1e-4)
    assert np.abs(found[0] - found[1]).max() > 0.01
    with pytest.raises(ValueError, match="96 × 96"):
        tiny_features(tower, pictures[:, :48, :48])


def test_inception_is_a_local_file_with_a_checksum(tmp_path, monkeypatch):
    missing, other = tmp_path / "none.pth", tmp_path / "other.pth"
    other.write_bytes(b"not the network")
    with pytest.raises(UserError, match=r"no file .*none\.pth: get weights-inception"):
        inception.InceptionFID(missing)
    with pytest.raises(UserError, match=r"other\.pth is not weights-inception.*SHA-256 begins"):
        inception.inception_fid([], [], other)
    monkeypatch.setattr(inception.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -e '.\[fid\]'"):
        inception.check_weights(other, sha256(other))
    monkeypatch.setattr(inception.importlib.util, "find_spec", lambda name: object())
    inception.check_weights(other, sha256(other))


def test_fid_counts_and_refuses_before_it_computes(tmp_path, monkeypatch):
    """With a stand-in for torchmetrics' FID: what it is given, and when it is asked."""
    import torchmetrics.image.fid

    class Recorder(torch.nn.Module):
        device = "cpu"

        def __init__(self, feature, feature_extractor_weights_path):
            super().__init__()
            assert feature == 2048 and feature_extractor_weights_path.endswith("w.pth")
            self.seen = []

        def update(self, batch, real):
            assert batch.dtype == torch.uint8 and batch.shape[:2] == (1, 3)
            self.seen.append((real, int(batch[0, 0, 0, 1]), int(batch[0, 2, 0, 1]), tuple(batch.shape[2:])))

        def compute(self):
            return torch.tensor(float(len(self.seen)))

    monkeypatch.setattr(torchmetrics.image.fid, "FrechetInceptionDistance", Recorder)
    monkeypatch.setattr(inception.importlib.util, "find_spec", lambda name: object())
    weights = tmp_path / "w.pth"
    weights.write_bytes(b"w")
    fid = inception.InceptionFID(weights, expected=sha256(weights))
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    fid.add(grey, real=True)
    fid.add(np.stack([grey, grey, grey + 100], axis=-1), real=False)
    assert fid.metric.seen == [(True, 1, 1, (3, 4)), (False, 1, 101, (3, 4))]
    with pytest.raises(UserError, match="FID needs 512 pictures or more on each side, here are 1"):
        fid.value()
    fid.counts = [512, 512]
    assert fid.value() == 2
