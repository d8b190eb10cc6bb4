"""The released code's sampler: its sigmas, its step, and noise that belongs to the picture, not to the batch."""

from types import SimpleNamespace

import pytest
import torch

from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.guidance import branches
from v2ir_lib.diffusion.sampling import generators_for, make_scheduler, sample, seeded_noise


def reference_sigmas(steps: int) -> torch.Tensor:
    """k-diffusion's: Stable Diffusion's betas in double precision, log-linear between the thousand levels."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, 0)
    table = ((1 - alphas) / alphas).sqrt()
    t = torch.linspace(999, 0, steps, dtype=torch.float64)
    low = t.floor().long()
    high = (low + 1).clamp(max=999)
    weight = t - low
    sigmas = ((1 - weight) * table[low].log() + weight * table[high].log()).exp()
    return torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)])


@pytest.mark.parametrize("steps", [10, 20, 100])
def test_sigmas_are_the_released_ones(steps):
    scheduler = make_scheduler()
    scheduler.set_timesteps(steps)
    assert float(scheduler.init_noise_sigma) == pytest.approx(14.6146, abs=1e-4)
    torch.testing.assert_close(scheduler.sigmas.double(), reference_sigmas(steps), rtol=2e-4, atol=0)


def test_one_step_is_the_formula():
    """x + (sigma_down - sigma) eps + sigma_up noise, with the variance split of Euler ancestral."""
    scheduler = make_scheduler()
    scheduler.set_timesteps(20)
    draw = torch.Generator().manual_seed(3)
    z, eps = torch.randn(2, 4, 3, 3, generator=draw) * 14, torch.randn(2, 4, 3, 3, generator=draw)
    scaled = scheduler.scale_model_input(z, scheduler.timesteps[0])
    here, there = scheduler.sigmas[:2].double()
    torch.testing.assert_close(scaled.double(), z.double() / (here**2 + 1).sqrt(), rtol=1e-5, atol=1e-6)
    found = scheduler.step(eps, scheduler.timesteps[0], z, generator=generators_for([5, 6])).prev_sample

    noise = seeded_noise(generators_for([5, 6]), (4, 3, 3)).double()
    up = (there**2 * (here**2 - there**2) / here**2).sqrt()
    down = (there**2 - up**2).sqrt()
    expected = z.double() + (down - here) * eps.double() + up * noise
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


class Recorder(torch.nn.Module):
    """In place of the UNet: eps = z / 10 + V, and a note of what it was shown."""

    def forward(self, x, t, encoder_hidden_states):
        self.seen = x
        self.calls = getattr(self, "calls", 0) + 1
        text = encoder_hidden_states.mean((1, 2))[:, None, None, None]
        return SimpleNamespace(sample=0.1 * x[:, :4] + x[:, 4:8] + text)


def conditions(count: int, seed: int = 0) -> Conditions:
    draw = torch.Generator().manual_seed(seed)
    shapes = ((count, 2, 3), (count, 4, 4, 4), (count, 4, 4, 4))
    return Conditions(*(torch.randn(shape, generator=draw) for shape in shapes))


def run(given, seeds, scales=(2.0, 1.5, 1.5), steps=6, **options):
    network = Recorder()
    z = sample(network, make_scheduler(), given, torch.zeros(1, 2, 3), branches(*scales), steps, seeds, **options)
    return z, network


def test_conditions_are_never_scaled_and_come_in_order():
    given = conditions(2)
    _, network = run(given, [1, 2], scales=(1, 1, 1))
    assert network.seen.shape == (2, 12, 4, 4) and network.calls == 6
    assert torch.equal(network.seen[:, 4:8], given.visible) and torch.equal(network.seen[:, 8:], given.segments)


def test_a_picture_does_not_depend_on_its_neighbours():
    given = conditions(3)
    together, _ = run(given, [7, 8, 9])
    for i in range(3):
        alone, _ = run(given.select(i), [7 + i])
        torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-4)


def test_seeds():
    given = conditions(1)
    assert torch.equal(run(given, [7])[0], run(given, [7])[0])
    assert (run(given, [7])[0] - run(given, [8])[0]).abs().max() > 0.1


def test_callback_sees_every_step():
    seen = []
    z, _ = run(conditions(1), [1], callback=lambda step, z, estimate: seen.append((step, z, estimate)))
    assert [step for step, *_ in seen] == list(range(6))
    assert torch.equal(seen[-1][1], z)
    torch.testing.assert_close(seen[-1][2], z, rtol=1e-4, atol=1e-4)  # at sigma 0 the estimate is the sample
