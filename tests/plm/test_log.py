"""What a run tells: TensorBoard's curves, sample sheets at their steps, and nothing that changes the run."""

import numpy as np
import torch
from small_runs import small_data, small_phase, small_unet

from v2ir_lib.figures import picture_grid
from v2ir_lib.plm.cache import weights_fingerprint
from v2ir_lib.plm.loss import Loss
from v2ir_lib.plm.train import train, trained_weights


def run(folder, **options):
    phase = small_phase("phase2", steps=5)
    unet = small_unet(phase.in_channels)
    loss = Loss(phase, 0.7, torch.zeros(1, 7, 32))
    progress = train(unet, phase, small_data(phase), loss, seed=0, folder=folder, **options)
    return unet, progress


def curves(folder) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]} | {
        "samples": [(event.step, 0.0) for event in events.Images("samples")]
    }


def test_curves_and_sheets_of_a_run_in_two_pieces(tmp_path):
    drawn = []

    def draw(unet):
        drawn.append([unet.training, weights_fingerprint(unet)])
        return picture_grid([[np.zeros((4, 4), np.uint8)]])

    options = {"log_dir": tmp_path / "log", "every": 2, "draw": draw}
    run(tmp_path / "run", until=3, **options)
    _, progress = run(tmp_path / "run", **options)
    found = curves(tmp_path / "log")
    assert [step for step, _ in found["loss"]] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose([value for _, value in found["loss"]], progress.losses, atol=1e-5)
    rate = small_phase("phase2").settings.learning_rate
    np.testing.assert_allclose([value for _, value in found["learning_rate"]], [rate / 2] + [rate] * 4, rtol=1e-5)
    assert all(value > 0 for name in ("images_per_second", "gradient_norm") for _, value in found[name])
    assert [step for step, _ in found["samples"]] == [2, 4]
    sheets = sorted((tmp_path / "log" / "samples").glob("*.jpg"))
    assert [path.name for path in sheets] == ["00000002.jpg", "00000004.jpg"] and sheets[0].stat().st_size > 500
    assert [training for training, _ in drawn] == [False, False] and drawn[0][1] != drawn[1][1]


def test_drawing_uses_the_average_and_leaves_the_run_as_it_was(tmp_path):
    seen = []

    def draw(unet):
        seen.append({name: weight.detach().clone() for name, weight in trained_weights(unet).items()})
        return picture_grid([[np.zeros((4, 4), np.uint8)]])

    drawn, _ = run(tmp_path / "drawn", log_dir=tmp_path / "log", every=5, draw=draw)
    plain, _ = run(tmp_path / "plain")
    assert weights_fingerprint(drawn) == weights_fingerprint(plain)
    assert all(torch.equal(seen[0][name], weight) for name, weight in trained_weights(plain).items())


def test_the_bar_shows_loss_speed_and_time_left(tmp_path, capsys):
    run(tmp_path)
    shown = capsys.readouterr().err.replace("\r", "\n").strip().split("\n")[-1]
    assert "phase2: 100%" in shown and "5/5" in shown and "loss=" in shown and "images/s=" in shown and "<" in shown
