"""Settings that make no sense are refused, in one line that says what would."""

import pytest

from v2ir_lib.diffusion.guidance import CHAINS, strength
from v2ir_lib.diffusion.sampling import SOLVERS
from v2ir_lib.diffusion.settings import ORDERS, SAMPLERS, SCHEDULES, Sampling
from v2ir_lib.errors import UserError


def test_every_name_has_its_meaning():
    assert tuple(SOLVERS) == SAMPLERS and tuple(CHAINS) == ORDERS
    assert [strength(schedule, 0.5) for schedule in SCHEDULES] == pytest.approx([1, 1, 1])


BAD = [
    (dict(sampler="magic"), "euler-ancestral, ddim"),
    (dict(order="random"), "paper, released"),
    (dict(schedule="wavy"), "constant, linear, cosine"),
    (dict(guidance_from=-1.0), "guidance-from"),
    (dict(guidance_to=float("nan")), "guidance-to"),
    (dict(guidance_from=0.5, guidance_to=0.5), "more than guidance-to"),
    (dict(rescale=1.1), "between 0 and 1"),
    (dict(rescale=float("nan")), "between 0 and 1"),
    (dict(slice=0), "slice"),
    (dict(size=0), "size"),
    (dict(tile=-16), "tile"),
    (dict(overlap=8), "give the size of a tile"),
    (dict(tile=32, overlap=32), "less than a tile"),
    (dict(tile=32, overlap=-1), "at least 0"),
]


@pytest.mark.parametrize("settings, said", BAD, ids=lambda value: str(value))
def test_bad_settings(settings, said):
    with pytest.raises(UserError, match=said):
        Sampling(**settings)


def test_good_settings():
    assert Sampling(tile=96).shared == 24 and Sampling(tile=96, overlap=0).shared == 0
    assert Sampling(guidance_from=5.0, guidance_to=0.3, rescale=0.7, schedule="cosine").skip
