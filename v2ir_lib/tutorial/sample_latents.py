"""The shipped sample scenes as latents: what a notebook trains on for a minute.

Apart from `samples`, whose pictures need none of the networks' libraries: those take seconds to import.
"""

import numpy as np
import torch

from v2ir_lib.diffusion.images import resize
from v2ir_lib.diffusion.latents import condition_from_moments
from v2ir_lib.plm.dataset import PhaseData
from v2ir_lib.plm.prepare import Encoders
from v2ir_lib.tutorial.samples import Samples
from v2ir_lib.vlum.prompts import make_prompt


def target_data(looks: list[np.ndarray], encoders: Encoders, text: torch.Tensor) -> PhaseData:
    """What a phase without conditions learns from: N scenes in L looks, each uint8 (N, H, W) or (N, H, W, 3), encoded.

    text: hidden states of the prompts, (N, L, D), or (1, L, D) where one prompt serves all.
    """
    found = np.stack([encoders.moments(pictures) for pictures in looks], axis=1)  # (N, L, 8, h, w)
    return PhaseData(found[:, None], None, None, text)


def pair_data(samples: Samples, looks: list[np.ndarray], segments: np.ndarray, encoders: Encoders) -> PhaseData:
    """What a phase with conditions learns from: N scenes, whole pictures, in L looks, each uint8 (N, H, W).

    segments: drawn maps, uint8 (N, H, W, 3). The prompts are the profile's, around the samples' true captions.
    """
    size = encoders.profile.image_size

    def modes(pictures: np.ndarray) -> np.ndarray:
        found = encoders.moments(np.stack([resize(picture, size, size) for picture in pictures]))
        return condition_from_moments(torch.from_numpy(found).float()).numpy().astype(np.float16)[:, None]

    text = encoders.text([make_prompt(caption, encoders.profile.prompt) for caption in samples.captions])
    targets = target_data(looks, encoders, text)
    return PhaseData(targets.infrared, modes(samples.visible), modes(segments), text)
