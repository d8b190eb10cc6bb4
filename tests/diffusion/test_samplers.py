"""Every sampler against the truth: a denoiser that is exactly right, for data whose sampling can be solved on paper.

Data are Gaussian, N(m, s²) at every place, or the single point m (s = 0); m is the visible latent, so conditions must
arrive too. Then E[z_0 | z_t] is known, and with it the answer eps or v of a perfect network. In z/√ᾱ the differential
equation moves z − m in proportion to √(s² + σ²).
"""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.guidance import branches, guided
from v2ir_lib.diffusion.noising import estimate
from v2ir_lib.diffusion.sampling import (
    SOLVERS,
    evaluations,
    generators_for,
    make_scheduler,
    sample,
    scheduler_like,
    seeded_noise,
    set_steps,
    timesteps,
)
from v2ir_lib.diffusion.settings import Sampling
from v2ir_lib.diffusion.tiles import Tiling
from v2ir_lib.errors import UserError

EXACT = ("ddim", "dpm++2m", "unipc", "heun")  # the differential equation; the others draw noise at every step
ALONE = branches(1, 1, 1)
NULL = torch.zeros(1, 2, 3)
TABLE = ((1 - make_scheduler().alphas_cumprod) / make_scheduler().alphas_cumprod).sqrt().double().numpy()


class Oracle(torch.nn.Module):
    """In place of the UNet: the perfect answer for N(visible, s²); it counts the samples that it is shown."""

    def __init__(self, s: float, prediction: str = "v_prediction"):
        super().__init__()
        self.s, self.prediction, self.rows, self.calls, self.largest = s, prediction, 0, 0, 0

    def forward(self, x, t, encoder_hidden_states):
        self.rows, self.calls = self.rows + len(x), self.calls + 1
        self.largest = max(self.largest, *x.shape[-2:])
        a = torch.tensor(1 / (1 + np.interp(float(t), np.arange(1000), TABLE) ** 2))
        z, m = x[:, :4].double(), x[:, 4:8].double()
        z_0 = m + self.s**2 * a.sqrt() * (z - a.sqrt() * m) / (a * self.s**2 + 1 - a)
        if self.prediction == "epsilon":
            return SimpleNamespace(sample=((z - a.sqrt() * z_0) / (1 - a).sqrt()).float())
        return SimpleNamespace(sample=((a.sqrt() * z - z_0) / (1 - a).sqrt()).float())


def conditions(count: int = 2, height: int = 8, width: int = 8) -> Conditions:
    draw = torch.Generator().manual_seed(0)
    shapes = ((count, 2, 3), (count, 4, height, width), (count, 4, height, width))
    return Conditions(*(torch.randn(shape, generator=draw) for shape in shapes))


def run(sampler, steps, s, prediction="v_prediction", given=None, **options):
    given = conditions() if given is None else given
    seeds = list(range(len(given)))
    return sample(
        Oracle(s, prediction), make_scheduler(prediction, sampler), given, NULL, ALONE, steps, seeds, **options
    )


def start(sampler, given) -> torch.Tensor:
    """z/√ᾱ at the largest σ, as `sample` begins."""
    noise = seeded_noise(generators_for(list(range(len(given)))), tuple(given.visible.shape[1:])).double()
    kept_as_z = make_scheduler(sampler=sampler).init_noise_sigma == 1
    return noise * ((1 + TABLE[-1] ** 2) ** 0.5 if kept_as_z else TABLE[-1])


def solution(sampler, given, s, sigma=0.0) -> torch.Tensor:
    """The equation's exact answer in z/√ᾱ at a noise level."""
    m = given.visible.double()
    return m + (start(sampler, given) - m) * ((s**2 + sigma**2) / (s**2 + TABLE[-1] ** 2)) ** 0.5


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sampler", SOLVERS)
def test_a_single_point_is_reached_exactly(sampler, prediction):
    given = conditions()
    for steps in (2, 7):
        torch.testing.assert_close(run(sampler, steps, 0.0, prediction), given.visible, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sampler", EXACT)
def test_a_gaussian_is_reached(sampler, prediction):
    """Each z ends where its noise must lead it."""
    found = run(sampler, 60, 0.8, prediction).double()
    expected = solution(sampler, conditions(), 0.8)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.15 if sampler == "ddim" else 0.05)


def error(sampler, steps, s=0.8) -> float:
    """Largest error after three quarters of the steps, at t = 250 whatever their number.

    Not at the end: t is spaced evenly and σ falls like √t there, so the last steps stay as wide in log σ as they were.
    """
    seen, given = [], conditions()
    run(sampler, steps, s, callback=lambda number, z, z_0: seen.append(z))
    done, sigma = 3 * steps // 4, TABLE[timesteps(steps)[3 * steps // 4]]
    z = seen[2 * done - 1 if sampler == "heun" else done - 1].double()
    if make_scheduler(sampler=sampler).init_noise_sigma == 1:
        z = z * (1 + sigma**2) ** 0.5
    return float((z - solution(sampler, given, s, sigma)).abs().max())


@pytest.mark.parametrize("sampler", EXACT)
def test_order_of_convergence(sampler):
    """Twice the steps: half the error by DDIM, a quarter and less by the samplers of second order."""
    coarse, fine = error(sampler, 10), error(sampler, 20)
    if sampler == "ddim":
        assert 1.6 < coarse / fine < 2.3
    else:
        assert coarse / fine > 3
        assert coarse < error("ddim", 10) / 2


@pytest.mark.parametrize("sampler", [name for name, solver in SOLVERS.items() if solver.draws])
def test_a_gaussian_is_sampled(sampler):
    """Those that draw noise reach the distribution: mean m, standard deviation s."""
    given = conditions(2, 32, 32)
    off = (run(sampler, 60, 0.8, given=given) - given.visible) / 0.8
    assert abs(float(off.mean())) < 4 / off.numel() ** 0.5
    assert float(off.std()) == pytest.approx(1, abs=0.07)


def test_euler_ancestral_has_the_variance_that_its_formula_gives():
    """z − m goes from σ to σ' by a factor and fresh noise: the variance follows, at any number of steps."""
    s, steps, given = 0.8, 6, conditions(4, 32, 32)
    sigmas = [*set_steps(make_scheduler(), steps), 0.0]
    variance = sigmas[0] ** 2
    for here, there in pairwise(sigmas):
        up = there**2 * (here**2 - there**2) / here**2
        factor = 1 + ((there**2 - up) ** 0.5 - here) * here / (s**2 + here**2)
        variance = factor**2 * variance + up
    off = run("euler-ancestral", steps, s, given=given) - given.visible
    assert float(off.std()) == pytest.approx(variance**0.5, rel=0.03)
    assert abs(variance**0.5 - s) > 0.05, "six steps are few: the test would not tell"


def test_ddim_is_the_formula_of_its_paper():
    """Song et al. 2021, Eq. 12 with σ = 0, between two whole timesteps."""
    scheduler = make_scheduler("epsilon", "ddim")
    set_steps(scheduler, 10)
    draw = torch.Generator().manual_seed(3)
    z, eps = torch.randn(1, 4, 3, 3, generator=draw), torch.randn(1, 4, 3, 3, generator=draw)
    t, after = timesteps(10)[:2]
    a, a_after = (scheduler.alphas_cumprod[int(one)] for one in (t, after))
    kept = z / a.sqrt()
    scheduler.scale_model_input(kept, scheduler.timesteps[0])
    found = scheduler.step(eps, scheduler.timesteps[0], kept).prev_sample * a_after.sqrt()
    expected = a_after.sqrt() * estimate(z, eps, a, "epsilon") + (1 - a_after).sqrt() * eps
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", SOLVERS)
def test_all_begin_at_the_largest_noise_and_fall(sampler):
    for steps in (2, 7, 10, 49, 100):
        sigmas = set_steps(make_scheduler(sampler=sampler), steps)
        assert len(sigmas) == (2 * steps - 1 if sampler == "heun" else steps)
        assert sigmas[0] == pytest.approx(14.6146, abs=1e-4) and sigmas == sorted(sigmas, reverse=True)
        assert sigmas[-1] > 0


def test_those_that_solve_the_equation_see_the_same_noise_levels():
    levels = [set_steps(make_scheduler(sampler=name), 13) for name in ("ddim", "dpm++2m", "dpm++2m-sde", "unipc")]
    levels.append([*set_steps(make_scheduler(sampler="heun"), 13)[::2]])
    for found in levels[1:]:
        assert found == pytest.approx(levels[0], rel=1e-5)


def test_more_steps_than_noise_levels_are_refused():
    assert len(set(timesteps(999))) == 999
    for steps in (0, 1000):
        with pytest.raises(UserError, match="1 to 999 steps"):
            timesteps(steps)
    with pytest.raises(ValueError, match="none of the schedulers"):
        set_steps(SimpleNamespace(), 5)


@pytest.mark.parametrize("sampler", SOLVERS)
def test_evaluations_are_what_the_network_counts(sampler):
    given, network = conditions(2), Oracle(0.8)
    rule = guided(7.5, 1.5, 1.5, Sampling(guidance_from=5.0, guidance_to=0.4))
    scheduler = make_scheduler("v_prediction", sampler)
    sample(network, scheduler, given, NULL, rule, 9, [0, 1])
    expected = evaluations(scheduler, rule, 9)
    assert network.rows == 2 * expected and network.calls == len(set_steps(scheduler, 9))
    calls = 17 if sampler == "heun" else 9
    assert calls < expected < 3 * calls and evaluations(scheduler, branches(7.5, 1.5, 1.5), 9) == 3 * calls


@pytest.mark.parametrize("sampler", SOLVERS)
def test_the_callback_sees_every_evaluation_and_the_picture_expected_there(sampler):
    given, seen = conditions(), []
    run(sampler, 5, 0.0, callback=lambda number, z, z_0: seen.append((number, z_0)))
    assert [number for number, _ in seen] == list(range(9 if sampler == "heun" else 5))
    for _, z_0 in seen:  # a point: expected from the first
        torch.testing.assert_close(z_0, given.visible, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", SOLVERS)
def test_slices_and_tiles_change_how_it_is_computed_and_nothing_else(sampler):
    """Where a network looks at each place for itself. Several branches, so that rows of several are in one slice."""
    given, rule = conditions(3, 12, 20), branches(2.0, 1.5, 1.25)
    whole = sample(Oracle(0.8), make_scheduler("v_prediction", sampler), given, NULL, rule, 4, [0, 1, 2])
    for options, calls in (({"slice": 5}, 3), ({"slice": 1}, 12), ({"tiling": Tiling(12, 20, 8, 2)}, 2 * 3)):
        network, scheduler = Oracle(0.8), make_scheduler("v_prediction", sampler)
        found = sample(network, scheduler, given, NULL, rule, 4, [0, 1, 2], **options)
        torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-4)
        assert network.calls == calls * len(set_steps(scheduler, 4))
        assert network.largest == (8 if "tiling" in options else 20)


def test_another_sampler_for_the_same_model():
    trained = make_scheduler("v_prediction")
    for name, solver in SOLVERS.items():
        other = scheduler_like(trained, name)
        assert type(other) is solver.scheduler and other.config.prediction_type == "v_prediction"
        assert torch.equal(other.alphas_cumprod, trained.alphas_cumprod)
        made = make_scheduler("v_prediction", name).config
        assert all(other.config[key] == made[key] for key in made if key != "_use_default_values")
