"""Eq. 2 as data: it is the equation, it telescopes, and branches of no weight cost nothing."""

import pytest
import torch

from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.guidance import branch_conditions, branches, combine

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


def guided(conditions, *scales, **options):
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
    torch.testing.assert_close(guided(three, *scales), equation_2(three, *scales), rtol=1e-12, atol=1e-12)


def test_telescopes_at_one(three):
    assert len(branches(1, 1, 1)) == 1
    torch.testing.assert_close(guided(three, 1, 1, 1), network(three), rtol=0, atol=0)
    torch.testing.assert_close(equation_2(three, 1, 1, 1), network(three), rtol=1e-14, atol=1e-14)


def test_weights_by_branch():
    found = {"".join(sorted(name[0] for name in branch.given)): branch.weight for branch in branches(7.5, 2.0, 1.5)}
    assert found == {"": 1 - 2.0, "v": 2.0 - 1.5, "sv": 1.5 - 7.5, "stv": 7.5}
    assert sum(branch.weight for branch in branches(3.7, 0.4, 9.1)) == pytest.approx(1, abs=1e-12)


def test_a_branch_of_no_weight_is_skipped_and_the_result_is_the_same(three):
    every = branches(7.5, 1.5, 1.5)
    assert len(every) == 3 and frozenset({"visible"}) not in {branch.given for branch in every}
    assert len(branch_conditions(three, NULL, every)) == 9
    torch.testing.assert_close(guided(three, 7.5, 1.5, 1.5), equation_2(three, 7.5, 1.5, 1.5), rtol=1e-12, atol=1e-12)


def test_swapped_scales_are_noticed(three):
    right = equation_2(three, 7.5, 1.5, 2.5)
    for swapped in ((1.5, 7.5, 2.5), (7.5, 2.5, 1.5), (2.5, 1.5, 7.5)):
        assert (guided(three, *swapped) - right).abs().max() > 0.1


def test_both_chains_agree_where_the_scales_do(three):
    """The paper adds V first, the released code S first: one function at s_V = s_S, two elsewhere."""
    released = ("segments", "visible", "text")
    same = guided(three, 7.5, 1.5, 1.5, chain=released)
    torch.testing.assert_close(same, guided(three, 7.5, 1.5, 1.5), rtol=1e-12, atol=1e-12)
    assert (guided(three, 7.5, 1.5, 2.5, chain=released) - guided(three, 7.5, 1.5, 2.5)).abs().max() > 0.1
