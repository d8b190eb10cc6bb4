"""A small convolutional image encoder for `Sam`, in place of its vision transformer.

SAM's other halves, prompt encoder and mask decoder, only ask for an embedding of the picture; MobileSAM (Zhang et al.
2023) puts a small network in front of them too. Convolutions suit a short training on a few thousand pictures. They do
not make the tiny SAM good at small objects: `results/standins.json` says how far it gets, beside a grid of boxes.
"""

import torch
import torch.nn.functional as F
from torch import nn

GROUPS = 8  # of each group normalisation


class Block(nn.Module):
    """Two 3 x 3 convolutions beside the identity: (B, C, h, w) to the same."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.GroupNorm(GROUPS, width), nn.SiLU()
        )
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.GroupNorm(GROUPS, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.silu(x + self.second(self.first(x)))


class ConvEncoder(nn.Module):
    """(B, 3, S, S) normalised pixels → (B, out_width, S/8, S/8), for S a multiple of 16.

    widths: channels at a half, a quarter, an eighth and a sixteenth of the picture's side; blocks: residual blocks at
    the last three. The three levels are joined at an eighth (a feature pyramid, Lin et al. 2017), the finer one folded
    into channels, so that outlines survive; one attention layer at a sixteenth sees the whole picture.
    """

    def __init__(self, img_size: int, widths: tuple[int, int, int, int], blocks: int, out_width: int):
        super().__init__()
        self.img_size = img_size  # `Sam` reads it to know what to pad to
        half, quarter, eighth, sixteenth = widths
        self.stem = _down(3, half)
        self.quarter = nn.Sequential(_down(half, quarter), *(Block(quarter) for _ in range(blocks)))
        self.eighth = nn.Sequential(_down(quarter, eighth), *(Block(eighth) for _ in range(blocks)))
        self.sixteenth = nn.Sequential(_down(eighth, sixteenth), *(Block(sixteenth) for _ in range(blocks)))
        self.norm = nn.LayerNorm(sixteenth)
        self.attention = nn.MultiheadAttention(sixteenth, num_heads=4, batch_first=True)
        self.fold = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * quarter, out_width, 1))
        self.lateral = nn.Conv2d(eighth, out_width, 1)
        self.top = nn.Conv2d(sixteenth, out_width, 1)
        self.neck = nn.Sequential(Block(out_width), nn.Conv2d(out_width, out_width, 1), nn.GroupNorm(GROUPS, out_width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = self.quarter(self.stem(x))
        middle = self.eighth(fine)
        coarse = self._look_around(self.sixteenth(middle))
        coarse = F.interpolate(self.top(coarse), scale_factor=2, mode="nearest")
        return self.neck(self.fold(fine) + self.lateral(middle) + coarse)

    def _look_around(self, x: torch.Tensor) -> torch.Tensor:
        """Attention among all places of (B, C, h, w), added to it."""
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        seen, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return x + seen.transpose(1, 2).unflatten(2, x.shape[2:])


def _down(narrow: int, wide: int) -> nn.Sequential:
    """Half the side, more channels."""
    return nn.Sequential(
        nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False), nn.GroupNorm(GROUPS, wide), nn.SiLU()
    )
