"""Asked for the noise or for v, a network says the same thing in other words."""

import pytest
import torch
from diffusers import DDPMScheduler

from v2ir_lib.diffusion.guidance import Branch, combine
from v2ir_lib.diffusion.noising import add_noise, min_snr_weights, offset_noise, question
from v2ir_lib.diffusion.sampling import generators_for, make_scheduler

ALPHA_BAR = torch.tensor([0.01, 0.5, 2 / 3, 0.9, 0.999])


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def test_z_0_and_eps_follow_from_z_t_and_v():
    z_0, eps = drawn(2, 5, 4, 3, 3)
    a = ALPHA_BAR.double().reshape(-1, 1, 1, 1)
    z_t, v = add_noise(z_0, eps, a), question(z_0, eps, a, "v_prediction")
    torch.testing.assert_close(a.sqrt() * z_t - (1 - a).sqrt() * v, z_0)
    torch.testing.assert_close(a.sqrt() * v + (1 - a).sqrt() * z_t, eps)
    assert question(z_0, eps, a, "epsilon") is eps
    with pytest.raises(ValueError, match="unknown prediction 'sample'"):
        question(z_0, eps, a, "sample")


def test_noise_and_v_are_those_of_diffusers():
    z_0, eps = drawn(2, 3, 4, 5, 5).float()
    t = torch.tensor([3, 500, 999])
    theirs = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    a = make_scheduler().alphas_cumprod[t].reshape(-1, 1, 1, 1)
    torch.testing.assert_close(add_noise(z_0, eps, a), theirs.add_noise(z_0, eps, t))
    torch.testing.assert_close(question(z_0, eps, a, "v_prediction"), theirs.get_velocity(z_0, eps, t))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weights_count_errors_of_z_0(prediction):
    """With γ = 2, an error in z_0 counts min(SNR, 2), in whatever words it was made."""
    a = ALPHA_BAR
    error_of_z_0 = torch.full((5,), 0.3)
    scale = a / (1 - a) if prediction == "epsilon" else 1 / (1 - a)  # squared error of the answer over that of z_0
    counted = min_snr_weights(a, 2.0, prediction) * scale * error_of_z_0
    torch.testing.assert_close(counted, (a / (1 - a)).clamp(max=2) * error_of_z_0)
    assert torch.equal(min_snr_weights(a, None, prediction), torch.ones(5))


def test_a_step_of_the_sampler_is_the_same_in_both_words():
    z, eps = drawn(2, 1, 4, 3, 3).float()
    ends = {}
    for prediction in ("epsilon", "v_prediction"):
        scheduler = make_scheduler(prediction)
        scheduler.set_timesteps(20)
        t, sigma = scheduler.timesteps[7], scheduler.sigmas[7]
        scheduler._step_index = 7
        a = 1 / (1 + sigma**2)
        z_t = z * a.sqrt()  # the scheduler keeps z_t / √ᾱ
        z_0 = (z_t - (1 - a).sqrt() * eps) / a.sqrt()
        ends[prediction] = scheduler.step(question(z_0, eps, a, prediction), t, z, generator=generators_for([1]))
    torch.testing.assert_close(ends["epsilon"].prev_sample, ends["v_prediction"].prev_sample, rtol=1e-4, atol=1e-4)


def test_guidance_is_the_same_in_both_words():
    """A mean of v with weights that sum to 1 is the v of that mean of eps, at one z_t."""
    z_t, a = drawn(1, 4, 3, 3), torch.tensor(0.3, dtype=torch.float64)
    eps = torch.randn(3, 4, 3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    every = tuple(Branch(frozenset(), weight) for weight in (-0.5, -6.0, 7.5))

    def v_of(eps):
        return question((z_t - (1 - a).sqrt() * eps) / a.sqrt(), eps, a, "v_prediction")

    torch.testing.assert_close(combine(v_of(eps), every), v_of(combine(eps, every)))
    wrong = tuple(Branch(frozenset(), weight) for weight in (-0.5, -6.0, 8.0))  # these sum to 1.5
    assert (combine(v_of(eps), wrong) - v_of(combine(eps, wrong))).abs().max() > 0.1


def test_offset_noise_hides_a_channels_mean_and_nothing_else():
    eps, constants = drawn(500, 4, 24, 24), drawn(3, 500, 4)[2]
    noise = offset_noise(eps, constants, 0.3)
    torch.testing.assert_close(noise - noise.mean((2, 3), keepdim=True), eps - eps.mean((2, 3), keepdim=True))
    assert noise.mean((2, 3)).std().item() == pytest.approx((0.3**2 + 1 / 24**2) ** 0.5, rel=0.06)  # without: 1/24
    torch.testing.assert_close(offset_noise(eps, constants, 0.0), eps)
