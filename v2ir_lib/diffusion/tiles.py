"""Large pictures in overlapping squares: cut, compute, blend, without seams."""

import math
from collections.abc import Callable

import torch


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one axis: as few as cover `length` and share `overlap`, spread evenly.

    A tile is no longer than the length; neighbours may share more than `overlap`, never less.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"an overlap of {overlap} does not fit tiles of {tile}")
    if tile >= length:
        return [0]
    count = 1 + math.ceil((length - tile) / (tile - overlap))
    return [round(k * (length - tile) / (count - 1)) for k in range(count)]


def tile_weights(starts: list[int], length: int, tile: int) -> torch.Tensor:
    """How much each tile counts along its axis, float64 (tiles, tile); at every place they add up to 1.

    A tile counts most in its middle and least at its edges, where a network sees least around it.
    """
    places = torch.arange(tile, dtype=torch.float64)
    tent = torch.minimum(places + 1, tile - places)
    total = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        total[start : start + tile] += tent
    return torch.stack([tent / total[start : start + tile] for start in starts])


class Tiling:
    """Squares of side `tile` that cover height × width and share `overlap`, all in latent pixels.

    A side shorter than a tile is taken whole. Weights are products of the two axes', so they add up to 1 as well.
    """

    def __init__(self, height: int, width: int, tile: int, overlap: int):
        self.height, self.width = height, width
        self.rows, self.columns = min(tile, height), min(tile, width)  # of one tile
        self.tops, self.lefts = tile_starts(height, tile, overlap), tile_starts(width, tile, overlap)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def map(self, function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """`function` of every tile of x, blended: (B, C, height·f, width·f) → (B, C', height·g, width·g).

        f and g are whole numbers that follow from the shapes: an autoencoder takes f pixels for one latent pixel.
        """
        scale = x.shape[-2] // self.height
        if x.shape[-2:] != (scale * self.height, scale * self.width):
            raise ValueError(f"{tuple(x.shape[-2:])} is no multiple of {self.height, self.width}, which is tiled")
        whole = None
        for i, top in enumerate(self.tops):
            for j, left in enumerate(self.lefts):
                answer = function(self._cut(x, top, left, scale))
                if whole is None:
                    out = answer.shape[-2] // self.rows
                    whole = answer.new_zeros(*answer.shape[:-2], out * self.height, out * self.width)
                    down = tile_weights([out * top for top in self.tops], out * self.height, out * self.rows)
                    across = tile_weights([out * left for left in self.lefts], out * self.width, out * self.columns)
                weight = down[i][:, None] * across[j]
                self._cut(whole, top, left, out).add_(weight.to(answer) * answer)
        return whole

    def _cut(self, x: torch.Tensor, top: int, left: int, scale: int) -> torch.Tensor:
        """The view of x that a tile covers."""
        return x[..., scale * top : scale * (top + self.rows), scale * left : scale * (left + self.columns)]
