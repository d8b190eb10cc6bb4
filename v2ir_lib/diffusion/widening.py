"""Room for two more pictures in the UNet's first convolution: 4 → 12 input channels, new ones zero (paper §3.4)."""

import copy

import torch
from diffusers import UNet2DConditionModel


def widen(unet: UNet2DConditionModel, in_channels: int = 12) -> UNet2DConditionModel:
    """A copy whose first convolution reads `cat([z, visible, segments], 1)`; z's weights stay, the new ones are zero.

    Until it is trained it therefore computes exactly what the base model computes, whatever the new channels hold.
    """
    old = unet.conv_in
    if in_channels < old.in_channels:
        raise ValueError(f"cannot narrow {old.in_channels} input channels to {in_channels}")
    wide = copy.deepcopy(unet)
    wide.conv_in = torch.nn.Conv2d(in_channels, old.out_channels, old.kernel_size, old.stride, old.padding)
    wide.conv_in.to(old.weight.device, old.weight.dtype)
    with torch.no_grad():
        wide.conv_in.weight.zero_()
        wide.conv_in.weight[:, : old.in_channels] = old.weight
        wide.conv_in.bias.copy_(old.bias)
    wide.register_to_config(in_channels=in_channels)  # or the saved folder would not load
    return wide


def unet_input(z: torch.Tensor, visible: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
    """The twelve channels in the released code's order [z, V, S], each (B, 4, h, w)."""
    return torch.cat([z, visible, segments], dim=1)
