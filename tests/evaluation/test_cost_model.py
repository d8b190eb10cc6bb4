"""The cost model by hand: seconds, joules and bytes on round numbers, and against what the training really writes."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from v2ir_lib.diffusion.memory import Way, of_parameters
from v2ir_lib.evaluation.cost_model import (
    ADAMW_BYTES,
    AVERAGE_BYTES,
    CARDS,
    PUBLISHED,
    SHARES,
    Card,
    Cluster,
    checkpoint_bytes,
    exchange_seconds,
    forward_seconds,
    host_bytes,
    kilowatt_hours,
    latent_bytes,
    map_bytes,
    prompt_bytes,
    train_step,
)
from v2ir_lib.files import repo_root
from v2ir_lib.plm.average import Average
from v2ir_lib.plm.checkpoint import TENSORS, checkpoints
from v2ir_lib.plm.dataset import PhaseData
from v2ir_lib.plm.optimiser import make_optimiser
from v2ir_lib.plm.state import Progress, State
from v2ir_lib.profiles import PhaseSettings
from v2ir_lib.tutorial.samples import read_samples, true_regions

ROUND = Card("round", 10, half=100.0, single=10.0, bandwidth=400.0, link=50.0, watts=360.0, source="none")


def test_a_step_by_hand():
    step = train_step(work=5.0, batch=8, trained=10, cluster=Cluster(ROUND), share=0.5)
    assert (step.compute, step.update, step.exchange) == (0.8, 1.0, 0.0)  # 8 · 5 / (100 / 2); 10 · 40 / 400; alone
    assert step.seconds == 1.8 and step.images_per_second == pytest.approx(8 / 1.8)
    without = train_step(work=5.0, batch=8, trained=10, cluster=Cluster(ROUND), share=0.5, average=False)
    assert without.update == 0.7 and (ADAMW_BYTES, AVERAGE_BYTES) == (28, 12)


def test_cards_share_the_samples_and_exchange_gradients():
    two = train_step(work=5.0, batch=8, trained=10, cluster=Cluster(ROUND, 2), share=0.5)
    assert two.compute == 0.4 and two.update == 1.0
    assert two.exchange == 40 / 50  # 2 (n - 1) / n of 40 bytes with n = 2
    uneven = train_step(work=5.0, batch=9, trained=10, cluster=Cluster(ROUND, 2), share=0.5)
    assert uneven.compute == 0.5, "the card with five samples decides"


def test_a_ring_in_each_machine_and_one_over_machines():
    eight = Cluster(ROUND, cards=8, machines=2, network=5.0)
    assert exchange_seconds(100, eight) == 2 * 3 / 4 * 100 / 50 + 2 * 1 / 2 * 100 / 5
    assert exchange_seconds(100, Cluster(ROUND, cards=2, machines=2, network=5.0)) == 20.0
    assert exchange_seconds(100, Cluster(ROUND)) == 0.0


@pytest.mark.parametrize("cards, machines", [(0, 1), (3, 2), (1, 2), (1, 0)])
def test_cards_that_cannot_be_spread(cards, machines):
    with pytest.raises(ValueError, match="spread evenly"):
        Cluster(ROUND, cards, machines)


def test_a_batch_that_leaves_a_card_idle_is_refused():
    with pytest.raises(ValueError, match="a batch of 3 cannot be shared by 4 cards"):
        train_step(1.0, 3, 1, Cluster(ROUND, 4), 0.5)


def test_more_cards_never_slower_at_no_exchange_and_never_ideal_with_it():
    free = replace(ROUND, link=float("inf"))
    for share in SHARES["half"].values():
        alone = train_step(5.0, 64, 10, Cluster(free), share).seconds
        eight = train_step(5.0, 64, 10, Cluster(free, 8), share).seconds
        assert alone / 8 < eight < alone
        assert train_step(5.0, 64, 10, Cluster(ROUND, 8), share).seconds > eight


def test_pictures_and_energy_by_hand():
    assert forward_seconds(5.0, 40, Cluster(ROUND, 2), 0.5) == 20.0  # 200 / (10 · 0.5 · 2)
    assert forward_seconds(5.0, 40, Cluster(ROUND, 2), 0.5, "half") == 2.0
    assert kilowatt_hours(3600, Cluster(ROUND, 5)) == pytest.approx(1.8)  # five cards of 360 W, an hour
    assert kilowatt_hours(3600, Cluster(ROUND, 5), around=1.5) == pytest.approx(2.7)


def test_shares_are_ranges_and_the_likely_one_is_the_published_runs():
    for share in SHARES.values():
        assert 0 < share["slow"] < share["likely"] < share["fast"] < 1
    work = json.loads((repo_root() / "results" / "full_work.json").read_text())["operations"]
    reached = PUBLISHED[8] / 8 * work["unet_training"] / CARDS["A100"].half
    assert reached == pytest.approx(SHARES["half"]["likely"], abs=0.005)


def test_latents_and_prompts_are_as_large_as_the_arrays():
    shape = (3, 4, 2, 8, 6, 6)
    data = PhaseData(
        np.zeros(shape, np.float16), np.zeros((3, 4, 4, 6, 6), np.float16), np.zeros((3, 4, 4, 6, 6), np.float16),
        torch.zeros(3, 77, 5),
    )  # fmt: skip
    assert latent_bytes(3, 6, crops=4, looks=2) == data.infrared.nbytes
    assert latent_bytes(3, 6, crops=4, channels=4) == data.visible.nbytes
    assert prompt_bytes(3, 5) == data.text.nbytes
    one_look = latent_bytes(3, 6, crops=4) + data.visible.nbytes + data.segments.nbytes + data.text.nbytes
    assert host_bytes(3, 6, 5, crops=4, processes=2) == 2 * one_look


def test_packed_maps_are_about_as_large_as_it_says():
    """Of true regions, which have more and smaller parts than a segmenter finds, and so take somewhat more."""
    drawn = true_regions(read_samples(16))
    file = io.BytesIO()
    np.savez_compressed(file, segments=drawn)
    assert 0.5 < map_bytes(len(drawn), drawn.shape[1]) / len(file.getvalue()) < 1.5


def test_a_checkpoint_is_as_large_as_it_says(tmp_path):
    layer = torch.nn.Linear(60, 50)
    weights = dict(layer.named_parameters())
    optimiser = make_optimiser(weights, PhaseSettings(steps=1, batch_size=1, learning_rate=1e-3))
    layer(torch.ones(1, 60)).sum().backward()
    optimiser.step()
    State(tmp_path, {}, weights, Average(weights, 0.9), optimiser).save(Progress(step=1))
    [folder] = checkpoints(tmp_path)
    count = sum(weight.numel() for weight in weights.values())
    assert 0 <= (folder / TENSORS).stat().st_size - checkpoint_bytes(count, kept=1) < 2000, "names and shapes"
    assert checkpoint_bytes(count) == 2 * checkpoint_bytes(count, kept=1)


def test_bytes_on_the_card_and_in_the_checkpoint_agree():
    memory = of_parameters(1000, 1000, Way())
    assert checkpoint_bytes(1000, kept=1) == memory.weights + memory.average + memory.moments
