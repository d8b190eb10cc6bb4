"""What rows share: who is told what, which stage begins where, and what the keys hold."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from v2ir_lib.evaluation.ablations import lab as module
from v2ir_lib.evaluation.ablations import stages
from v2ir_lib.evaluation.ablations.budgets import BUDGETS
from v2ir_lib.evaluation.ablations.lab import Lab
from v2ir_lib.evaluation.ablations.rows import CONDITIONS, EXTRA, TABLE3, Told, last_stage

TOLD = Told("true", "shuffled")


@pytest.fixture
def lab(monkeypatch):
    """A lab whose latents say what they are of: visible pictures are ones, maps twos, infrared threes."""
    lab = Lab(BUDGETS["check"])
    lab.encoders = SimpleNamespace(text=lambda prompts: torch.full((1, 2, 3), float(len(prompts[0]))))
    lab.heldout = SimpleNamespace(pack=SimpleNamespace(name="heldout"))
    lab.asked = []

    def pictures_of(maps, pack, phase, encoders):
        lab.asked.append((maps, pack.name, phase.crops))
        ones = np.ones((5, phase.crops, 4, 2, 2), np.float16)
        return ones, 2 * ones

    def text_of(words, pack, template, encoders):
        lab.asked.append((words, pack.name))
        return torch.full((5 if words == "true" else 1, 2, 3), 4.0)

    monkeypatch.setattr(module, "pictures_of", pictures_of)
    monkeypatch.setattr(module, "text_of", text_of)
    monkeypatch.setattr(module, "load_pack", lambda name, limit: SimpleNamespace(name=f"{name}, {limit}"))
    monkeypatch.setattr(module, "infrared_moments", lambda pack, phase, encoders: np.full((5, 1, 1, 8, 2, 2), 3.0))
    return lab


def test_sampling_is_told_of_whole_held_out_pictures(lab):
    found = lab.known(TOLD)
    assert sorted(lab.asked) == [("shuffled", "heldout", 1), ("true", "heldout")]
    assert found.visible.shape == found.segments.shape == (5, 4, 2, 2) and found.text.shape == (5, 2, 3)
    assert (found.visible == 1).all() and (found.segments == 2).all() and (found.text == 4).all()
    assert lab.known(Told("constant", "none")).text.shape == (5, 2, 3), "one text for all is given to each"


def test_training_is_told_the_same_of_its_own_pack(lab):
    stage = replace(last_stage(TABLE3[8], 0), told=TOLD)
    found = lab.data(stage)
    pack = f"{lab.phase(stage).pack}, {BUDGETS['check'].scenes}"
    assert {one[:2] for one in lab.asked} == {("shuffled", pack), ("true", pack)}
    assert (found.visible == 1).all() and (found.segments == 2).all() and (found.infrared == 3).all()
    lab.asked.clear()
    first = lab.data(stage.chain()[0])
    assert first.visible is None and first.segments is None and not lab.asked, "phase 1 sees no pairs"
    assert (first.text == len(lab.phase(stage.chain()[0]).prompt)).all()


def test_a_key_holds_scenes_weights_and_the_engine(monkeypatch):
    """Other held-out scenes, other shipped weights, another engine: none is the same row, trained or shipped."""

    def keys(budget="check", weights="0", shipped="0"):
        lab = Lab(BUDGETS[budget])
        lab.weights, lab.shipped_hash = {"base_unet": weights}, shipped
        return [lab.row_key(row, 0) for row in (TABLE3[8], CONDITIONS[1])]

    base = keys()
    assert keys() == base
    assert all(one != other for one, other in zip(keys("learn"), base, strict=True))
    assert keys(weights="1")[0] != base[0] and keys(shipped="1")[1] != base[1]
    monkeypatch.setattr(module, "ENGINE", module.ENGINE + 1)
    assert all(one != other for one, other in zip(keys(), base, strict=True))


def test_another_u_net_is_another_training(monkeypatch):
    """And leaves the keys of the diffusion model's trainings alone."""
    lab = Lab(BUDGETS["check"])
    lab.weights = {"base_unet": "0"}
    stages_ = [last_stage(row, 0) for row in (EXTRA[-1], TABLE3[4])]
    before = [lab.stage_key(stage) for stage in stages_]
    monkeypatch.setitem(module.SHAPE, "block_out_channels", (64, 96, 160))
    after = [lab.stage_key(stage) for stage in stages_]
    assert after[0] != before[0] and after[1] == before[1]


def test_seeds_are_other_trainings_with_other_keys():
    lab = Lab(BUDGETS["check"])
    lab.weights, lab.shipped_hash = {"base_unet": "0"}, "0"
    for row in (TABLE3[8], CONDITIONS[0]):
        assert lab.row_key(row, 0) != lab.row_key(row, 1)
    assert lab.stage_key(last_stage(TABLE3[8], 0)) != lab.stage_key(last_stage(TABLE3[8], 1))


@pytest.mark.parametrize("number", [0, 1])
def test_a_stage_begins_where_the_one_before_ended(number, monkeypatch, tmp_path):
    """And is trained with its own seed, settings and data."""
    stage, seen = last_stage(TABLE3[1], 7).chain()[number], {}
    lab = SimpleNamespace(
        folder=lambda stage: tmp_path / stage.phase,
        phase=lambda stage: SimpleNamespace(
            name=stage.phase, trains="all", settings=SimpleNamespace(learning_rate=0.1)
        ),
        data=lambda stage: f"data of {stage.phase}",
        stage_key=lambda stage: "key",
        base=tmp_path / "base",
        profile=None,
        encoders=SimpleNamespace(models="models"),
    )

    def start_unet(profile, phase, models, start, seed):
        seen["start"] = (phase.name, models, start, seed)
        return "unet"

    def train(unet, phase, data, loss, *, seed, folder, about):
        seen["train"] = (unet, phase.name, data, seed, folder)
        return SimpleNamespace(losses=[9.0] + [2.0] * stages.RECENT, step=3, seconds=1.0, trained_parameters=5)

    monkeypatch.setattr(stages, "start_unet", start_unet)
    monkeypatch.setattr(stages, "train", train)
    monkeypatch.setattr(stages, "_eq1", lambda lab, phase: "Eq. 1")
    monkeypatch.setattr(stages, "write_unet", lambda unet, out, lora: seen.update(written=(unet, out)))
    record = stages.train_stage(lab, stage)
    begins = [tmp_path / "base", tmp_path / "phase1" / "unet"][number]
    assert seen["start"] == (stage.phase, "models", begins, 7)
    assert seen["train"] == ("unet", stage.phase, f"data of {stage.phase}", 7, tmp_path / stage.phase / "checkpoints")
    assert seen["written"] == ("unet", tmp_path / stage.phase) and record["loss"] == 2 and record["seed"] == 7
    seen.clear()
    assert stages.train_stage(lab, stage) == record and not seen, "what is trained is not trained again"
