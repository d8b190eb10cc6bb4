"""Tiles: they cover, their weights add up to one, and no seam is left."""

import itertools

import pytest
import torch

from v2ir_lib.diffusion.tiles import Tiling, tile_starts, tile_weights


@pytest.mark.parametrize("length, tile, overlap", itertools.product((8, 24, 37, 100), (8, 24), (0, 3, 7)))
def test_tiles_cover_and_share_and_weights_add_up_to_one(length, tile, overlap):
    starts, tile = tile_starts(length, tile, overlap), min(tile, length)
    assert starts[0] == 0 and starts[-1] == length - tile
    assert all(before + tile - after >= overlap for before, after in itertools.pairwise(starts))
    assert len(starts) == 1 or (len(starts) - 1) * tile - (len(starts) - 2) * overlap < length, "one less would do"
    weights = tile_weights(starts, length, tile)
    total = torch.zeros(length, dtype=torch.float64)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + tile] += weight
    torch.testing.assert_close(total, torch.ones(length, dtype=torch.float64), rtol=0, atol=1e-15)
    assert (weights > 0).all()


def test_a_constant_field_stays_constant_and_any_field_itself():
    tiling = Tiling(21, 50, 16, 5)
    field = torch.full((2, 3, 21, 50), 7.25)
    torch.testing.assert_close(tiling.map(lambda part: part, field), field, rtol=1e-6, atol=0)
    field = torch.randn(2, 3, 21, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tiling.map(torch.sin, field), field.sin(), rtol=1e-13, atol=1e-13)


def test_pixels_to_latents_and_back():
    """Functions that shrink and enlarge, as the autoencoder does: tile by tile what they are on the whole."""
    tiling = Tiling(10, 17, 8, 2)
    picture = torch.rand(1, 3, 40, 68, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    small = tiling.map(lambda part: torch.nn.functional.avg_pool2d(part, 4), picture)
    torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(picture, 4))
    large = tiling.map(lambda part: part.repeat_interleave(4, -1).repeat_interleave(4, -2), small)
    torch.testing.assert_close(large, small.repeat_interleave(4, -1).repeat_interleave(4, -2))
    with pytest.raises(ValueError, match="no multiple"):
        tiling.map(torch.sin, picture[..., :66])


def test_tiles_that_disagree_leave_no_seam():
    """Neighbours answer 0 and 1: the blend goes over in steps of 1 / (overlap + 1); without overlap it jumps."""

    def steepest(overlap):
        answers = itertools.cycle((0.0, 1.0))
        tiling = Tiling(16, 16 + 16 - overlap, 16, overlap)
        assert len(tiling) == 2
        blend = tiling.map(lambda part: torch.full_like(part, next(answers)), torch.zeros(1, 1, 16, 32 - overlap))
        assert blend[0, 0, 0, 0] == 0 and blend[0, 0, 0, -1] == 1
        return float(blend.diff(dim=-1).abs().max())

    assert steepest(7) == pytest.approx(1 / 8) and steepest(3) == pytest.approx(1 / 4) and steepest(0) == 1


def test_a_side_shorter_than_a_tile_is_taken_whole():
    seen = []
    Tiling(6, 30, 16, 4).map(lambda part: seen.append(tuple(part.shape[-2:])) or part, torch.zeros(1, 1, 6, 30))
    assert seen == [(6, 16)] * 3
    with pytest.raises(ValueError, match="does not fit"):
        Tiling(20, 20, 8, 8)
