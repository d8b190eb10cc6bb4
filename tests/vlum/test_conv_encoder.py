"""The convolutional encoder in front of SAM's decoder: sizes, and what a place of the embedding has seen."""

import torch

from v2ir_lib.vlum.conv_encoder import ConvEncoder


def encoder() -> ConvEncoder:
    torch.manual_seed(0)
    return ConvEncoder(64, widths=(8, 8, 16, 16), blocks=1, out_width=24).eval()


@torch.no_grad()
def test_a_place_for_every_eight_pixels():
    network = encoder()
    assert network.img_size == 64
    for side in (64, 96):
        assert network(torch.zeros(2, 3, side, side)).shape == (2, 24, side // 8, side // 8)


@torch.no_grad()
def test_every_place_sees_the_whole_picture():
    """A change in one corner reaches the embedding of the opposite one: through attention, beyond any convolution."""
    network, picture = encoder(), torch.randn(1, 3, 192, 192, generator=torch.Generator().manual_seed(1))
    changed = picture.clone()
    changed[..., :16, :16] += 3
    here = (network(changed) - network(picture)).abs().amax(dim=1)[0]
    assert here[-1, -1] > 1e-6 and here[:3, :3].min() > here[-1, -1]


@torch.no_grad()
def test_pictures_of_a_batch_do_not_mix():
    network, pictures = encoder(), torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(network(pictures)[1:2], network(pictures[1:2]), rtol=1e-4, atol=1e-5)
