"""Feature vectors of pictures for FD-tiny and KID-tiny: the vision tower of the project's own small CLIP.

It was trained on simulated scenes, visible and in all four infrared bands, to match pictures with captions. That it
notices what should be noticed is measured, not assumed: `results/fd_tiny.json`.
"""

from pathlib import Path

import numpy as np
import torch

from v2ir_lib.files import repo_root
from v2ir_lib.weights import load_model

TOWER = Path("models/tiny/clip_vision")  # below the repository
BATCH = 64


def tiny_tower(folder: str | Path | None = None) -> torch.nn.Module:
    """The vision tower in `folder`, by default the shipped one. `UserError` where it is missing or damaged."""
    from transformers import CLIPVisionModelWithProjection  # slow to import

    return load_model(CLIPVisionModelWithProjection, folder or repo_root() / TOWER)


@torch.no_grad()
def tiny_features(tower: torch.nn.Module, pictures: np.ndarray) -> np.ndarray:
    """The tower's projection, not normalised, float64 (N, 64).

    pictures: uint8 (N, S, S, 3), or grey (N, S, S), of the tower's own size S (96 pixels); `ValueError` for another.
    """
    pictures, side = np.asarray(pictures), tower.config.image_size
    if pictures.ndim not in (3, 4) or pictures.shape[1:3] != (side, side):
        raise ValueError(f"need pictures of {side} × {side} pixels, got an array of {pictures.shape}")
    if pictures.ndim == 3:
        pictures = np.broadcast_to(pictures[..., None], (*pictures.shape, 3))
    parts = []
    for start in range(0, len(pictures), BATCH):
        part = torch.from_numpy(np.ascontiguousarray(pictures[start : start + BATCH]))
        parts.append(tower((part.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous()).image_embeds)
    return torch.cat(parts).double().numpy()
