"""The rows as data: the paper's flags, what rows share, and Eq. 2 without what is absent."""

import numpy as np
import pytest
import torch

from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.guidance import branch_conditions, branches, combine
from v2ir_lib.evaluation.ablations.rows import BEST, CONDITIONS, EXTRA, HUNDRED, TABLE3, TABLE4, Told, last_stage
from v2ir_lib.evaluation.paper_tables import TABLE3 as PRINTED3
from v2ir_lib.evaluation.paper_tables import TABLE4 as PRINTED4

# Paper, Table 3: phases 1, 2, 3, then segmentation map and vision-language
PAPER = ["-2---", "12---", "--3--", "1-3--", "-23--", "123--", "123-L", "123S-", "123SL"]


def test_table_3_has_the_papers_rows_in_its_order():
    for row, flags in zip(TABLE3, PAPER, strict=True):
        phases = tuple(f"phase{n}" for n in flags[:3] if n != "-")
        assert (row.phases, row.told.maps != "none", row.told.words != "none") == (phases, "S" in flags, "L" in flags)
    assert [row.name for row in TABLE3] == list(PRINTED3)


def test_rows_differ_in_flags_alone():
    assert {row.guidance for row in (*TABLE3, *EXTRA, *CONDITIONS)} == {BEST}
    assert len({(row.phases, row.told) for row in TABLE3}) == 9


def test_what_rows_share_is_trained_once():
    chains = {row.name: last_stage(row, 0).chain() for row in TABLE3}
    stages = {stage for chain in chains.values() for stage in chain}
    count = {phase: sum(stage.phase == phase for stage in stages) for phase in ("phase1", "phase2", "phase3")}
    assert count == {"phase1": 1, "phase2": 5, "phase3": 7}
    assert chains["1"] == chains["5"][:1] and chains["2"] == chains["6"][:2]
    assert chains["9"][1] not in chains["8"] and chains["9"][0] in chains["2"]
    assert last_stage(TABLE3[0], 1) not in stages, "another seed is another training"
    assert last_stage(CONDITIONS[0], 0) is None


def test_the_first_phase_with_pairs_is_known():
    begins = {row.name: [stage.begins_with_pairs for stage in last_stage(row, 0).chain()] for row in TABLE3}
    assert begins["3"] == [True] and begins["4"] == [False, True]
    assert begins["5"] == [True, False] and begins["9"] == [False, True, False]


@pytest.mark.parametrize("told", [Told(), Told("captions", "none"), Told("none", "regions"), Told("true", "edges")])
def test_a_condition_left_out_of_the_chain_gives_the_same_as_a_null_one(told):
    """A network whose answer tells its conditions apart; the absent ones are null in the full chain of Eq. 2."""
    rng = torch.Generator().manual_seed(0)
    null_text = torch.randn(1, 3, 5, generator=rng).double()
    text = torch.randn(2, 3, 5, generator=rng).double() if told.words != "none" else null_text.expand(2, -1, -1)
    visible, segments = (torch.randn(2, 4, 6, 6, generator=rng).double() for _ in range(2))
    known = Conditions(text, visible, segments if told.maps != "none" else torch.zeros_like(segments))

    def answer(given: Conditions) -> torch.Tensor:
        return torch.tanh(given.visible + 2 * given.segments + given.text.mean((1, 2)).reshape(-1, 1, 1, 1))

    def guided(every):
        return combine(answer(branch_conditions(known, null_text, every)), every)

    scales = dict(s_text=2.5, s_visible=1.5, s_segments=1.25)
    short, full = branches(**scales, chain=told.chain), branches(**scales)
    assert len(short) == len(told.chain) + 1
    assert torch.allclose(guided(short), guided(full), atol=1e-12)


def test_the_chain_has_what_a_row_is_told_in_the_papers_order():
    """An absent condition would be an evaluation for nothing."""
    chains = {
        told: told.chain for told in (Told(), Told("captions", "none"), Told("none", "edges"), Told("true", "true"))
    }
    assert list(chains.values()) == [
        ("visible",),
        ("visible", "text"),
        ("visible", "segments"),
        ("visible", "segments", "text"),
    ]


def test_table_4_varies_one_thing_at_a_time_by_the_papers_ratios():
    settings = {row.name: row.guidance for row in TABLE4}
    assert list(settings)[:10] == ["best", *(name for name in PRINTED4 if name != "best")]
    assert len(set(settings.values())) == len(TABLE4) == 11
    ratios = {"steps 50": ("steps", 0.5), "steps 150": ("steps", 1.5), "steps 200": ("steps", 2)}
    ratios |= {"s_T 5.0": ("s_text", 2 / 3), "s_T 10.0": ("s_text", 4 / 3), "s_V 2.0": ("s_visible", 4 / 3)}
    for name, (what, ratio) in ratios.items():
        assert getattr(settings[name], what) == pytest.approx(ratio * getattr(BEST, what), abs=0.5 * (what == "steps"))
        assert sum(getattr(settings[name], f) != getattr(BEST, f) for f in vars(BEST)) == 1
    assert vars(HUNDRED[0].guidance) == dict(s_text=7.5, s_visible=1.5, s_segments=1.5, steps=100)
    assert settings["paper's scales"].steps == BEST.steps


def test_unknown_flags_are_refused():
    with pytest.raises(ValueError, match="maps"):
        Told("captions", "colours")


def test_the_papers_differences_in_the_plan_are_those_of_its_table():
    """docs/analysis_plan.md states them; they come from the one file of printed figures."""
    from v2ir_lib.files import repo_root

    text = (repo_root() / "docs" / "analysis_plan.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if " − " in line and line.count(" | ") == 3]
    stated = {tuple(row[1].split(" − ")): float(row[2].split(" ")[0].replace("−", "-")) for row in rows}
    assert len(stated) == 12
    for (ours, theirs), gain in stated.items():
        assert gain == pytest.approx(PRINTED3[ours].psnr - PRINTED3[theirs].psnr, abs=1e-6)
    higher = [name for name, printed in PRINTED4.items() if printed.psnr > PRINTED4["best"].psnr]
    assert "eight of its nine" in text and len(higher) == 8
    assert np.sum([printed.ssim > PRINTED4["best"].ssim for printed in PRINTED4.values()]) == 5
