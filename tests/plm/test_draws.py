"""What is drawn depends on (seed, phase, step, global sample index) and on nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_runs import small_data, small_phase

from v2ir_lib.plm.draws import Batch, draw_batch, epoch_order


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))


def joined(parts: list[Batch]) -> Batch:
    return Batch(**{name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def test_a_batch_is_the_same_however_it_is_shared_out():
    phase = small_phase("phase2")
    data = small_data(phase)
    whole = draw_batch(data, phase, seed=3, step=7)
    assert same(whole, joined([draw_batch(data, phase, 3, 7, [i]) for i in range(4)]))
    assert same(whole, joined([draw_batch(data, phase, 3, 7, part) for part in ([0, 1, 2], [3])]))


def test_the_global_random_state_is_neither_read_nor_moved():
    phase = small_phase("phase2")
    data = small_data(phase)
    torch.manual_seed(1)
    first = draw_batch(data, phase, 0, 0)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert same(first, draw_batch(data, phase, 0, 0))
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


def test_every_part_of_the_key_matters():
    phase, other = small_phase("phase2"), small_phase("phase3")
    data = small_data(phase)
    first = draw_batch(data, phase, 0, 0)
    for changed in (draw_batch(data, phase, 1, 0), draw_batch(data, phase, 0, 1), draw_batch(data, other, 0, 0)):
        assert not torch.equal(first.eps, changed.eps)
    assert all(not torch.equal(first.eps[0], first.eps[i]) for i in (1, 2, 3))
    assert not torch.equal(first.eps, first.posterior_noise)


def test_an_epoch_visits_every_scene_once():
    order = [int(i) for i in epoch_order(0, "phase2", 0, 5)]
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert any(not torch.equal(epoch_order(0, "phase2", 0, 5), epoch_order(0, "phase2", e, 5)) for e in (1, 2, 3))
    phase = small_phase("phase2")
    data = small_data(phase)
    data.text[:] = torch.arange(5.0).reshape(5, 1, 1)  # the text tells which scene a sample is of
    seen = torch.cat([draw_batch(data, phase, 0, step).text[:, 0, 0] for step in range(5)])
    assert seen.int().bincount().tolist() == [4] * 5


def test_conditions_belong_to_the_scene_and_the_crop():
    """Visible, segments, text and infrared of a sample are of one scene, and of one crop where they have crops."""
    phase = small_phase("phase2", batch_size=32)
    data = small_data(phase)
    for scene in range(5):
        data.text[scene] = scene
        for crop in range(3):
            data.visible[scene, crop] = data.segments[scene, crop] = 10 * scene + crop
            data.infrared[scene, crop] = 10 * scene + crop
    batch = draw_batch(data, phase, 0, 0)
    values = [part[:, 0, 0, 0] for part in (batch.visible, batch.segments, batch.infrared)]
    assert torch.equal(values[0], values[1]) and torch.equal(values[0], values[2])
    assert torch.equal(values[0] // 10, batch.text[:, 0, 0])
    assert len(set((values[0] % 10).tolist())) == 3


def test_timesteps_dropout_and_noise_have_their_distributions():
    phase = small_phase("phase2", batch_size=3000)
    batch = draw_batch(small_data(phase), phase, 0, 0)
    assert (
        batch.timesteps.min() < 5 and batch.timesteps.max() > 994 and abs(batch.timesteps.float().mean() - 499.5) < 20
    )
    assert abs(batch.dropout.mean() - 0.5) < 0.02 and batch.dropout.min() >= 0 and batch.dropout.max() < 1
    spread = (1 + phase.noise_offset**2) ** 0.5  # 1.044 with the tiny profile's offset
    assert phase.noise_offset == 0.3 and abs(batch.eps.mean()) < 0.02 and abs(batch.eps.std() - spread) < 0.01
    plain = draw_batch(small_data(phase), replace(phase, noise_offset=0.0), 0, 0)
    assert abs(plain.eps.std() - 1) < 0.01 and torch.equal(plain.timesteps, batch.timesteps)


def test_windows_are_the_same_part_of_every_picture_and_end_with_their_share():
    """The first half of the steps see 3 × 3 windows, cut alike from all of a sample's pictures; the rest see all."""
    phase = small_phase("phase2", window=3, window_share=0.5)
    data = small_data(phase)
    ramp = np.arange(64, dtype=np.float16).reshape(8, 8)
    data.visible[:], data.segments[:], data.infrared[:] = ramp, ramp, ramp
    for step in (0, 2):
        batch = draw_batch(data, phase, 0, step)
        assert batch.eps.shape == batch.posterior_noise.shape == batch.visible.shape == (4, 4, 3, 3)
        assert batch.infrared.shape == (4, 8, 3, 3)
        assert torch.equal(batch.visible, batch.segments) and torch.equal(batch.visible, batch.infrared[:, :4])
        assert torch.equal(batch.visible[:, 0, 1, 1] - batch.visible[:, 0, 0, 0], torch.full((4,), 9.0))
        alone = draw_batch(data, phase, 0, step, [2])
        assert torch.equal(alone.visible[0], batch.visible[2]) and torch.equal(alone.eps[0], batch.eps[2])
    corners = torch.cat([draw_batch(data, phase, seed, 0).visible[:, 0, 0, 0] for seed in range(40)])
    assert {int(c) // 8 for c in corners} == {int(c) % 8 for c in corners} == set(range(6)), "every place is drawn"
    assert draw_batch(data, phase, 0, 3).eps.shape == (4, 4, 8, 8)
    with pytest.raises(ValueError, match="9 latent pixels does not fit into latents of 8 x 8"):
        draw_batch(data, small_phase("phase2", window=9, window_share=1.0), 0, 0)
