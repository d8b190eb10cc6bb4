"""Targets are sampled and scaled, conditions are modes and are not."""

import pytest
import torch

from v2ir_lib.diffusion import latents


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_target_is_sampled_and_scaled(pipeline, images):
    vae, scale = pipeline.vae, pipeline.vae.config.scaling_factor
    assert scale not in (1.0, 0.18215), "the test needs a factor that cannot be mistaken"
    mean, log_variance = latents.moments(vae, images).chunk(2, dim=1)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(4))
    expected = (mean + (0.5 * log_variance.clamp(-30, 20)).exp() * noise) * scale
    found = latents.encode_target(vae, images, torch.Generator().manual_seed(4))
    assert found.shape == (2, 4, 8, 12)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert not torch.equal(found, latents.encode_target(vae, images, torch.Generator().manual_seed(5)))


def test_condition_is_the_mode_unscaled(pipeline, images):
    mean = latents.moments(pipeline.vae, images).chunk(2, dim=1)[0]
    assert torch.equal(latents.encode_condition(pipeline.vae, images), mean)


def test_decode_undoes_the_scaling(pipeline, images):
    vae = pipeline.vae
    mode = latents.encode_condition(vae, images)
    with torch.no_grad():
        expected = vae.decode(mode).sample.clamp(-1, 1)
    found = latents.decode(vae, mode * vae.config.scaling_factor)
    assert found.shape == images.shape
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_infrared_is_the_mean_of_three_channels(images):
    torch.testing.assert_close(latents.infrared(images), (images[:, 0] + images[:, 1] + images[:, 2]) / 3)
