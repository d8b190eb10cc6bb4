"""Does diffusion beat regression, and at what? A plain U-Net from the visible picture to the infrared one, with L1.

The same pairs, crops, cameras, batches, steps and loop (`plm.train`) as for the diffusion model: pictures stand where
there are latents. What it cannot know it averages, and a mean is what PSNR likes best and an eye least.
"""

from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from torch.nn.functional import pixel_shuffle, pixel_unshuffle
from tqdm.auto import tqdm

from v2ir_lib.plm.dataset import PhaseData, looks_of
from v2ir_lib.plm.draws import Batch, keyed_generator
from v2ir_lib.plm.phases import Phase
from v2ir_lib.plm.prepare import Encoders
from v2ir_lib.plm.sources import as_scenes
from v2ir_lib.weights import load_model

BATCH = 32
FOLD = 4  # pixels of a picture's side that become channels: the network's grid is then that of the latents
SHAPE = dict(  # about as many parameters, and as long a training: results/table3/unet-0.json beside 5-0.json
    in_channels=3 * FOLD**2,
    out_channels=FOLD**2,
    layers_per_block=1,
    block_out_channels=(64, 96, 144),
    down_block_types=("DownBlock2D",) * 3,
    up_block_types=("UpBlock2D",) * 3,
    norm_num_groups=16,
    add_attention=False,
)


class L1:
    """Mean absolute error of a batch. Pictures (B, 1, H, W) in [-1, 1] are where the latents' means would be."""

    def __call__(self, unet: UNet2DModel, batch: Batch) -> torch.Tensor:
        asked = batch.infrared[:, :1]  # the second channel is where a posterior has its log-variance
        return (predict(unet, batch.visible) - asked).abs().mean()


def predict(unet: UNet2DModel, visible: torch.Tensor) -> torch.Tensor:
    """The infrared picture (B, 1, H, W) of a visible one (B, 3, H, W), both in [-1, 1]; no noise level to tell.

    In between, 4 × 4 pixels are channels of one place (Shi et al. 2016, "sub-pixel"), and nothing of them is lost.
    """
    folded = unet(pixel_unshuffle(visible, FOLD), 0).sample
    return pixel_shuffle(folded, FOLD)


def start_regression(seed: int, folder: Path | None = None) -> UNet2DModel:
    """An untrained network of that seed, or the one that a stage left in `folder`."""
    if folder is not None:
        return load_model(UNet2DModel, folder).requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_generator(seed, "regression", "start").initial_seed())
        return UNet2DModel(**SHAPE)


def picture_data(pack, phase: Phase, encoders: Encoders) -> PhaseData:
    """A phase's crops and looks as pictures in [-1, 1], float16, in the places of their latents."""
    scenes, size, visible = as_scenes(pack), encoders.profile.image_size, []
    infrared = np.zeros((len(scenes), phase.crops, phase.looks, 2, size, size), np.float16)
    for scene in tqdm(range(len(scenes)), desc=f"pictures of {phase.name}", delay=2, leave=False):
        crops = encoders.crops(scene, phase.crops)
        visible.append(np.stack([to_model(crop.of(np.asarray(scenes.visible[scene]))) for crop in crops]))
        seen: dict[str, np.ndarray] = {}
        for k, crop in enumerate(crops):
            for number, camera in enumerate(looks_of(scene, k, phase.cameras, phase.looks)):
                if camera not in seen:
                    seen[camera] = scenes.infrared(scene, camera)
                infrared[scene, k, number, 0] = to_model(crop.of(seen[camera]))
    return PhaseData(infrared, np.stack(visible), None, torch.zeros(1, 1, 1))


def to_model(picture: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) or (H, W) → float16 (3, H, W) or (H, W) in [-1, 1]."""
    scaled = (picture.astype(np.float32) / 127.5 - 1).astype(np.float16)
    return np.moveaxis(scaled, -1, 0) if scaled.ndim == 3 else scaled


@torch.no_grad()
def answers(unet: UNet2DModel, visible: np.ndarray) -> np.ndarray:
    """Translations of pictures uint8 (N, h, w, 3) at the network's own size: uint8 (N, h, w)."""
    found = []
    for start in range(0, len(visible), BATCH):
        pictures = np.stack([to_model(one) for one in visible[start : start + BATCH]])
        grey = predict(unet.eval(), torch.from_numpy(pictures).float())[:, 0]
        found.append(((grey.clamp(-1, 1) + 1) * 127.5).round().byte().numpy())
    return np.concatenate(found)
