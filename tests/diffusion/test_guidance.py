"""Eq. 2 as data: it is the equation, it telescopes, and branches of no weight cost nothing."""

import pytest
import torch

from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.guidance import CHAINS, Branch, branch_conditions, branches, combine, guided, strength
from v2ir_lib.diffusion.settings import Sampling

NULL = torch.full((1, 2, 3), -1.0, dtype=torch.float64)


def network(conditions: Conditions) -> torch.Tensor:
    """A stand-in for the UNet, float64, in which every condition and every pair of them matters."""
    t, v, s = conditions.text.mean((1, 2)), conditions.visible, conditions.segments
    t = t.reshape(-1, 1, 1, 1)
    return torch.sin(3 * t) + torch.cos(2 * v) + torch.sin(5 * s) + t * v + v * s + 0.3 * s * t


@pytest.fixture
def three():
    draw = torch.Generator().manual_seed(0)
    shapes = ((3, 2, 3), (3, 4, 2, 2), (3, 4, 2, 2))
    return Conditions(*(torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes))


def answer(conditions, *scales, **options):
    every = branches(*scales, **options)
    return combine(network(branch_conditions(conditions, NULL, every)), every)


def equation_2(conditions, s_text, s_visible, s_segments):
    """The paper's formula, term by term."""
    everyone = torch.ones(3, dtype=torch.bool)
    v = network(conditions.drop(NULL, text=everyone, segments=everyone))
    vs = network(conditions.drop(NULL, text=everyone))
    nothing, vst = network(conditions.null(NULL)), network(conditions)
    return nothing + s_visible * (v - nothing) + s_segments * (vs - v) + s_text * (vst - vs)


@pytest.mark.parametrize("scales", [(7.5, 1.5, 1.5), (1.5, 2.0, 0.5), (0.0, 1.0, 3.0), (0.0, 0.0, 0.0)])
def test_is_equation_2(three, scales):
    torch.testing.assert_close(answer(three, *scales), equation_2(three, *scales), rtol=1e-12, atol=1e-12)


def test_telescopes_at_one(three):
    assert len(branches(1, 1, 1)) == 1
    torch.testing.assert_close(answer(three, 1, 1, 1), network(three), rtol=0, atol=0)
    torch.testing.assert_close(equation_2(three, 1, 1, 1), network(three), rtol=1e-14, atol=1e-14)


def test_weights_by_branch():
    found = {"".join(sorted(name[0] for name in branch.given)): branch.weight for branch in branches(7.5, 2.0, 1.5)}
    assert found == {"": 1 - 2.0, "v": 2.0 - 1.5, "sv": 1.5 - 7.5, "stv": 7.5}
    assert sum(branch.weight for branch in branches(3.7, 0.4, 9.1)) == pytest.approx(1, abs=1e-12)


def test_a_branch_of_no_weight_is_skipped_and_the_result_is_the_same(three):
    every = branches(7.5, 1.5, 1.5)
    assert len(every) == 3 and frozenset({"visible"}) not in {branch.given for branch in every}
    assert len(branch_conditions(three, NULL, every)) == 9
    torch.testing.assert_close(answer(three, 7.5, 1.5, 1.5), equation_2(three, 7.5, 1.5, 1.5), rtol=1e-12, atol=1e-12)


def test_three_evaluations_give_what_four_give(three):
    """At the paper's best setting, exactly: the fourth answer is multiplied by 0."""
    four = branches(7.5, 1.5, 1.5, skip=False)
    assert [branch.weight for branch in four] == [-0.5, 0, -6, 7.5] and len(branches(7.5, 1.5, 1.5)) == 3
    assert torch.equal(answer(three, 7.5, 1.5, 1.5, skip=False), answer(three, 7.5, 1.5, 1.5))


def test_a_missing_branch_is_noticed(three):
    every, right = branches(7.5, 1.5, 2.5), equation_2(three, 7.5, 1.5, 2.5)
    for missing in every:
        rest = tuple(branch for branch in every if branch != missing)
        assert (combine(network(branch_conditions(three, NULL, rest)), rest) - right).abs().max() > 0.1


def test_swapped_scales_are_noticed(three):
    right = equation_2(three, 7.5, 1.5, 2.5)
    for swapped in ((1.5, 7.5, 2.5), (7.5, 2.5, 1.5), (2.5, 1.5, 7.5)):
        assert (answer(three, *swapped) - right).abs().max() > 0.1


def test_both_chains_agree_where_the_scales_do(three):
    """The paper adds V first, the released code S first: one function at s_V = s_S, two elsewhere."""
    released = ("segments", "visible", "text")
    same = answer(three, 7.5, 1.5, 1.5, chain=released)
    torch.testing.assert_close(same, answer(three, 7.5, 1.5, 1.5), rtol=1e-12, atol=1e-12)
    assert (answer(three, 7.5, 1.5, 2.5, chain=released) - answer(three, 7.5, 1.5, 2.5)).abs().max() > 0.1


def test_the_released_chain_is_the_released_formula(three):
    everyone = torch.ones(3, dtype=torch.bool)
    nothing, full = network(three.null(NULL)), network(three)
    s = network(three.drop(NULL, text=everyone, visible=everyone))
    sv = network(three.drop(NULL, text=everyone))
    expected = nothing + 2.5 * (s - nothing) + 1.5 * (sv - s) + 7.5 * (full - sv)
    found = answer(three, 7.5, 1.5, 2.5, chain=CHAINS["released"])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_all_extras_are_off_by_default():
    at = guided(7.5, 1.5, 2.0)
    for sigma, left in ((14.6, 1.0), (1.3, 0.5), (0.03, 0.0)):
        assert at(sigma, left) == branches(7.5, 1.5, 2.0)


def test_guidance_in_an_interval_of_noise_levels():
    """On in (low, high]; outside, the one branch that has all conditions, with weight 1."""
    at = guided(7.5, 1.5, 1.5, Sampling(guidance_from=5.0, guidance_to=0.5))
    alone = (Branch(frozenset(CHAINS["paper"]), 1.0),)
    assert [len(at(sigma, 0.5)) for sigma in (14.6, 5.001, 5.0, 1.0, 0.501, 0.5, 0.03)] == [1, 1, 3, 3, 3, 1, 1]
    assert at(14.6, 1.0) == at(0.5, 0.1) == alone and at(5.0, 0.5) == branches(7.5, 1.5, 1.5)
    assert len(guided(7.5, 1.5, 1.5, Sampling(guidance_to=0.5))(14.6, 1.0)) == 3
    assert len(guided(7.5, 1.5, 1.5, Sampling(guidance_from=5.0))(0.03, 0.0)) == 3


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_schedules_change_the_scales_and_keep_their_mean(schedule):
    lefts = torch.linspace(0, 1, 1001).tolist()
    values = [strength(schedule, left) for left in lefts]
    assert sum(values) / len(values) == pytest.approx(1, abs=1e-6)
    at = guided(7.0, 2.0, 2.0, Sampling(schedule=schedule))
    for left, f in zip(lefts[::100], values[::100], strict=True):
        assert sum(branch.weight for branch in at(1.0, left)) == pytest.approx(1)
        text = {branch.given: branch.weight for branch in at(1.0, left)}[frozenset(CHAINS["paper"])]
        assert text == pytest.approx(1 + f * 6)
    if schedule != "constant":
        assert values[-1] == pytest.approx(0) and values[0] == pytest.approx(2) and len(at(14.6, 1.0)) == 1


def test_rescaled_guidance_takes_the_contrast_back(three):
    every = branches(7.5, 1.5, 1.5)
    answers = network(branch_conditions(three, NULL, every))
    plain, full = combine(answers, every), answers.chunk(3)[-1]
    wanted, had = (x.flatten(1).std(dim=1) for x in (full, plain))
    assert (had > 1.3 * wanted).all()
    torch.testing.assert_close(combine(answers, every, 1.0).flatten(1).std(dim=1), wanted)
    torch.testing.assert_close(combine(answers, every, 0.7).flatten(1).std(dim=1), 0.7 * wanted + 0.3 * had)
    ratio = combine(answers, every, 0.7) / plain
    torch.testing.assert_close(ratio, ratio[:, :1, :1, :1].expand_as(ratio))


def test_rescaling_keeps_the_branch_that_it_measures_by():
    at = guided(0.0, 1.5, 1.5, Sampling(rescale=0.7))
    assert [branch.weight for branch in at(1.0, 0.5)] == [-0.5, 1.5, 0.0]
    assert [branch.weight for branch in guided(0.0, 1.5, 1.5)(1.0, 0.5)] == [-0.5, 1.5]
