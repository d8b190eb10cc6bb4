"""FID: the Fréchet distance on Inception's features, for the `full` size. The network's weights are a local file.

torchmetrics computes it with torch-fidelity's Inception (the one of 2015-12-05 that papers use). Nothing is downloaded:
the file is given, and is opened only if its SHA-256 is the published file's, since it is a pickle.
"""

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from v2ir_lib.errors import UserError
from v2ir_lib.files import sha256
from v2ir_lib.metrics.distribution import FD_LEAST, enough_for

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"  # torch-fidelity's release; pytorch-fid's pt_inception-…
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
FEATURES = 2048


class InceptionFID:
    """Takes pairs of pictures one after the other; `value()` is the FID so far."""

    def __init__(self, weights: str | Path, *, expected: str = INCEPTION_SHA256, device: str = "cpu"):
        """`UserError` where the file is missing, is another file, or torch-fidelity is not installed."""
        check_weights(weights, expected)
        from torchmetrics.image.fid import FrechetInceptionDistance  # slow to import

        self.metric = FrechetInceptionDistance(FEATURES, feature_extractor_weights_path=str(weights)).to(device)
        self.counts = [0, 0]

    def add(self, picture: np.ndarray, *, real: bool) -> None:
        """One picture, uint8 (H, W) or (H, W, 3), of any size: the network resizes it to 299 × 299."""
        import torch

        picture = np.broadcast_to(picture[..., None], (*picture.shape, 3)) if picture.ndim == 2 else picture
        batch = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
        self.metric.update(batch.to(self.metric.device), real=real)
        self.counts[real] += 1

    def value(self) -> float:
        """Heusel et al. 2017, Eq. 6. `UserError` below 512 pictures on either side."""
        enough_for("FID", FD_LEAST, *self.counts)
        return max(0.0, float(self.metric.compute()))  # rounding can leave a little below zero


def inception_fid(pictures: Iterable[np.ndarray], truth: Iterable[np.ndarray], weights: str | Path, **options) -> float:
    """FID of two sets of pictures; see `InceptionFID`, which has the options too."""
    fid = InceptionFID(weights, **options)
    for real, some in ((False, pictures), (True, truth)):
        for picture in some:
            fid.add(picture, real=real)
    return fid.value()


def check_weights(path: str | Path, expected: str = INCEPTION_SHA256) -> None:
    """`UserError` unless `path` is Inception's weights file, by its checksum, and torch-fidelity can read it."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"FID needs Inception's weights, and there is no file {path}: get {INCEPTION_FILE} once")
    if (found := sha256(path)) != expected:
        raise UserError(f"{path} is not {INCEPTION_FILE}: its SHA-256 begins {found[:12]}, not {expected[:12]}")
    if importlib.util.find_spec("torch_fidelity") is None:
        raise UserError("FID needs torch-fidelity, which holds the Inception network: pip install -e '.[fid]'")
