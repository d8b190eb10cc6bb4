"""Null conditions are null, and dropout drops what the released code drops, in its order."""

import pytest
import torch

from v2ir_lib.diffusion.conditions import Conditions, dropout_bins

NULL = torch.full((1, 5, 3), -1.0)


@pytest.fixture
def four():
    draw = torch.Generator().manual_seed(0)
    return Conditions(*(torch.randn(shape, generator=draw) for shape in ((4, 5, 3), (4, 4, 2, 2), (4, 4, 2, 2))))


def test_null_is_null(four):
    null = four.null(NULL)
    assert torch.equal(null.text, NULL.expand(4, -1, -1))
    assert not null.visible.any() and not null.segments.any()
    assert four.visible.any(), "the original is left alone"


def test_drop_touches_only_what_it_is_told(four):
    mask = torch.tensor([True, False, False, True])
    dropped = four.drop(NULL, visible=mask)
    assert torch.equal(dropped.text, four.text) and torch.equal(dropped.segments, four.segments)
    assert not dropped.visible[mask].any() and torch.equal(dropped.visible[~mask], four.visible[~mask])
    dropped = four.drop(NULL, text=mask, segments=~mask)
    assert torch.equal(dropped.text[0], NULL[0]) and torch.equal(dropped.text[1], four.text[1])
    assert not dropped.segments[1].any() and torch.equal(dropped.segments[0], four.segments[0])


def test_cat_and_select_are_inverse(four):
    again = Conditions.cat([four.select(0), four.select(slice(1, 3)), four.select([3])])
    assert all(torch.equal(getattr(again, name), getattr(four, name)) for name in ("text", "visible", "segments"))
    assert len(four.select(0)) == 1


def test_dropout_bins_are_the_released_ones_in_their_order():
    """Written out from the released code: bin k of width u, and what is lost in it."""
    u = 0.02
    r = (torch.arange(8) + 0.5) * u
    dropped = dropout_bins(r, u)
    lost = ["".join(c for c, name in zip("TVS", dropped, strict=True) if dropped[name][k]) for k in range(8)]
    assert list(dropped) == ["text", "visible", "segments"]
    assert lost == ["T", "TV", "TVS", "TS", "VS", "V", "S", ""]
    edges = dropout_bins(torch.tensor([0.0, u, 7 * u]), u)
    assert edges["visible"].tolist() == [False, True, False] and edges["text"].tolist() == [True, True, False]


def test_dropout_frequencies():
    u, count = 0.02, 200_000
    dropped = dropout_bins(torch.rand(count, generator=torch.Generator().manual_seed(1)), u)
    masks = torch.stack(list(dropped.values()))
    for share in masks.float().mean(1):  # each condition: four bins of seven
        assert abs(share - 4 * u) < 0.003
    assert abs((~masks.any(0)).float().mean() - (1 - 7 * u)) < 0.004
    assert abs(masks.all(0).float().mean() - u) < 0.002


def test_the_papers_dropout_leaves_nothing_or_one_condition():
    """Its text: from fully unconditioned to having only one conditioning."""
    u = 0.02
    dropped = dropout_bins((torch.arange(5) + 0.5) * u, u, "paper")
    lost = ["".join(c for c, name in zip("TVS", dropped, strict=True) if dropped[name][k]) for k in range(5)]
    assert lost == ["TVS", "VS", "TS", "TV", ""]


def test_the_papers_dropout_frequencies():
    u, count = 0.02, 200_000
    dropped = dropout_bins(torch.rand(count, generator=torch.Generator().manual_seed(1)), u, "paper")
    masks = torch.stack(list(dropped.values()))
    missing = masks.sum(0)
    for number, share in ((0, 1 - 4 * u), (1, 0), (2, 3 * u), (3, u)):
        assert abs((missing == number).float().mean() - share) <= 0.003 * (share > 0)
    for share in masks.float().mean(1):  # each condition: three cases of four
        assert abs(share - 3 * u) < 0.003
    for name in dropped:  # each is the only one left in 2% of the samples
        alone = (missing == 2) & ~dropped[name]
        assert abs(alone.float().mean() - u) < 0.002


@pytest.mark.parametrize("u, scheme", [(-0.01, "released"), (0.15, "released"), (0.26, "paper")])
def test_dropout_refuses_bins_that_do_not_fit(u, scheme):
    with pytest.raises(ValueError, match="u must lie"):
        dropout_bins(torch.rand(3), u, scheme)


def test_dropout_refuses_an_unknown_scheme():
    with pytest.raises(ValueError, match="unknown dropout scheme 'ours': choose one of released, paper"):
        dropout_bins(torch.rand(3), 0.02, "ours")
