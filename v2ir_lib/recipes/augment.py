"""Small changes to a rendered scene that keep its words and regions true, so that photographs are less strange."""

import torch
import torch.nn.functional as F


def augment(
    visible: torch.Tensor, regions: torch.Tensor, generator: torch.Generator, crop: float = 0.12
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mirror, crop up to `crop` of a side, shift brightness, contrast, gamma and colour, add noise: each image its own.

    visible (B, H, W, 3) uint8 and regions (B, H, W) of integers below 2^24 to (B, 3, H, W) float in [0, 1] and
    (B, H/2, W/2) int64, the same place in both. `generator` is on the CPU.
    """
    count, height, width = regions.shape

    def draw(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    scale = 1 - draw(0.0, crop)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = scale * torch.where(draw(0.0, 1.0) < 0.5, -1.0, 1.0)
    theta[:, 1, 1] = scale
    theta[:, :, 2] = (1 - scale)[:, None] * draw(-1.0, 1.0, 2)

    def warp(picture: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
        grid = F.affine_grid(theta, [count, 1, *size], align_corners=False)
        return F.grid_sample(picture, grid, mode=mode, padding_mode="border", align_corners=False)

    image = warp(visible.permute(0, 3, 1, 2).float() / 255, (height, width), "bilinear")
    regions = warp(regions[:, None].float(), (height // 2, width // 2), "nearest")[:, 0].long()
    image = image.clamp(1e-4, 1.0) ** torch.exp(draw(-0.15, 0.15, 1, 1, 1))
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    image = (image - mean) * draw(0.85, 1.15, 1, 1, 1) + mean * draw(0.9, 1.1, 1, 1, 1)
    image = image * draw(0.95, 1.05, 3, 1, 1)
    image = image + draw(0.0, 0.02, 1, 1, 1) * torch.randn(image.shape, generator=generator)
    return image.clamp(0, 1), regions
