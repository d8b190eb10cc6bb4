"""`python -m v2ir_lib.evaluation.table1`: how much does leakage flatter? Paper, Table 1; in `results/table1.json`.

The paper splits M³FD at random (21.70 dB) and by hand (19.30 dB) and lays the difference to leakage. But the two splits
also have different test frames, which may differ in difficulty. Here the test frames are fixed, and two training sets
of equal size differ only in whether they hold the test frames' siblings, other frames of the same sequences, or frames
of other sequences. Same start, steps and draws: phase 3 of the tiny model.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import typer

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.baselines import inverted_grey, nearest_pair
from v2ir_lib.evaluation.pictures import save_sheet
from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.evaluation.scenes import autoencoded
from v2ir_lib.evaluation.table1_scores import chosen, comparison, differences, joined, means, score
from v2ir_lib.evaluation.table1_sequences import (
    FRAMES,
    HALVES,
    SECONDS,
    TEST_FRAME,
    WORLD_SEED,
    camera_moves,
    leaking,
    render_sequences,
)
from v2ir_lib.evaluation.table1_training import NOISE_SEED, Experiment, Trained, train_all
from v2ir_lib.files import repo_root, sha256, write_json
from v2ir_lib.world.cameras import STYLE_CAMERA

TESTED, OTHER = HALVES  # the fixed test frames are the first half's
SEQUENCES, STEPS, SEEDS, LONGER = 96, 400, 3, 1200
PAPER = {  # M³FD, Table 1
    "randomly split": {"fid": 45.89, "psnr": 21.70, "ssim": 0.7196},
    "manually split": {"fid": 70.29, "psnr": 19.30, "ssim": 0.6620},
}
SHEET_ROWS = 6


def measure(
    results: Path,
    *,
    sequences: int = SEQUENCES,
    steps: int = STEPS,
    seeds: int = SEEDS,
    longer: int = LONGER,
    workers: int | None = None,
) -> dict:
    """The whole experiment: `table1.json` and `figures/table1.jpg` in `results`. What was done before is in the cache.

    seeds: how many trainings of each set. longer: steps of one more training of each, by the first seed; 0 for none.
    workers: processes that render. Raises `UserError` for numbers that make no experiment, or a full disk.
    """
    if steps < 1 or seeds < 1 or longer < 0:
        raise UserError(f"--steps {steps}, --seeds {seeds}, --longer {longer}: give 1 or more, or 0 for --longer")
    manifest = render_sequences(sequences, workers)
    experiment = Experiment(manifest)
    moves = {half: np.array(camera_moves(experiment.test[half].pack)) for half in HALVES}
    untrained = baselines(experiment)
    found = train_all(experiment, steps, range(seeds))
    report = {
        "about": "what a leaking training set adds on the same test frames; PSNR in dB and SSIM, data range 255, and "
        "PSNR after the best gain and offset; means with 95% bootstrap intervals over sequences",
        "provenance": provenance(NOISE_SEED) | {"weights_sha256": start_hashes(experiment)},
        "design": design(experiment, steps, seeds, longer),
        "paper": {"dataset": "M³FD", "table": 1, **PAPER},
        "baselines": {name: means(score(made, experiment.test[TESTED].infrared)) for name, made in untrained.items()},
        **tables(found, moves),
    }
    if longer:
        report["longer"] = {"steps": longer, "seeds": [0]} | tables(train_all(experiment, longer, [0]), moves)
    draw(results / "figures" / "table1.jpg", experiment, found, untrained)
    write_json(results / "table1.json", report)
    return report


def design(experiment: Experiment, steps: int, seeds: int, longer: int) -> dict:
    """What was compared with what, so that nobody has to read the code for it."""
    settings, guidance = experiment.phase.settings, experiment.profile.guidance
    sets = {"leaky": leaking(experiment.manifest, TESTED, TESTED), "clean": leaking(experiment.manifest, OTHER, TESTED)}
    frames = sets["leaky"]["training_frames"]
    return {
        "sequences": {"count": 2 * len(experiment.test[TESTED]), "frames_each": FRAMES, "seconds_between": SECONDS},
        "world_seed": WORLD_SEED,
        "camera": STYLE_CAMERA,
        "test_frames": f"frame {TEST_FRAME} of each even sequence",
        "training_sets": {
            "leaky": "the other frames of the even sequences, the test frames' siblings",
            "clean": f"the same frames (all but {TEST_FRAME}) of the odd sequences, drawn from the same world",
            **{f"{name}, as counted from the manifest": counts for name, counts in sets.items()},
        },
        "equal_for_both": "start, steps, batch size, learning rate, crops, epoch order, timesteps, noise, dropout, "
        "sampling noise; frame k of sequence 2i stands where frame k of sequence 2i+1 does",
        "roles_exchanged": "the same models on the test frames of the odd sequences, where the other set leaks: "
        "averaged over both halves, a training set that is better by chance drops out",
        "start": "the shipped phase2_unet, after phase 2, which never saw this camera",
        "steps": steps,
        "longer_steps": longer,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "ema_decay": settings.ema_decay,
        "epochs": round(steps * settings.batch_size / frames, 1),
        "training_seeds": list(range(seeds)),
        "guidance": vars(guidance),
        "not_measured": f"FID: {len(experiment.test[TESTED])} pictures are too few for a Fréchet distance",
    }


def tables(found: Trained, moves: dict[str, np.ndarray]) -> dict:
    """All comparisons that the trainings allow. moves: of each half's test frames, whether the camera moves, (N,)."""
    leaky = {half: found.scores[half, half] for half in HALVES}
    clean = {TESTED: found.scores[OTHER, TESTED], OTHER: found.scores[TESTED, OTHER]}
    both = [[joined(*pair) for pair in zip(*sets.values(), strict=True)] for sets in (leaky, clean)]
    moving = np.concatenate([moves[half] for half in HALVES])
    kinds = {"camera stands": np.flatnonzero(~moving), "camera moves": np.flatnonzero(moving)}
    return {
        "fixed_test_frames": comparison(leaky[TESTED], clean[TESTED]),
        "each_seed": [
            {"leaky": means(ours), "clean": means(theirs), "leaky_minus_clean": differences(ours, theirs)}
            for ours, theirs in zip(leaky[TESTED], clean[TESTED], strict=True)
        ],
        "roles_exchanged": comparison(leaky[OTHER], clean[OTHER]),
        "both_halves": comparison(*both),
        "both_halves_by_camera": {
            name: comparison(*([chosen(one, rows) for one in sets] for sets in both))
            for name, rows in kinds.items()
            if len(rows)
        },
        "training": {
            name: {
                "loss_of_last_100_steps_by_seed": found.losses[half],
                f"training_frame_{TEST_FRAME - 1}_of_each_sequence_first_seed": means(found.seen[half]),
            }
            for name, half in (("leaky", TESTED), ("clean", OTHER))
        },
    }


def baselines(experiment: Experiment) -> dict[str, np.ndarray]:
    """Answers to the fixed test frames that need no training here, uint8 (N, h, w) each.

    The nearest pair is what a model that only remembers would answer.
    """
    test = experiment.test[TESTED]
    sets = {"leaky": experiment.training[TESTED], "clean": experiment.training[OTHER]}
    nearest = {
        f"nearest pair of the {name} set": nearest_pair(test.visible, some.visible, some.infrared)
        for name, some in sets.items()
    }
    return {
        "start, untrained": experiment.answers(experiment.start, test),
        **nearest,
        "inverted grey": inverted_grey(test.visible),
        "autoencoder (ceiling)": autoencoded(experiment.start, test.infrared),
    }


def start_hashes(experiment: Experiment) -> dict[str, str]:
    """SHA-256 of every safetensors file that the trainings start from."""
    unet = (repo_root() / experiment.profile.sources.pipeline).parent / "phase2_unet"
    places = [unet, *sorted(set(experiment.parts.values()))]
    files = [path for place in places for path in sorted(place.glob("*.safetensors"))]
    return {f"{path.parent.name}/{path.name}": sha256(path) for path in files}


def draw(path: Path, experiment: Experiment, found: Trained, untrained: dict[str, np.ndarray]) -> None:
    """The first test frames, not the best: a sibling, the truth, and the answers of both sets' models."""
    test, siblings = experiment.test[TESTED], experiment.seen[TESTED]
    columns: dict[str, Sequence[np.ndarray]] = {
        "test frame": test.visible,
        "a sibling": siblings.visible,
        "truth": test.infrared,
        "leaky": found.pictures[TESTED, TESTED],
        "clean": found.pictures[OTHER, TESTED],
        "nearest, leaky": untrained["nearest pair of the leaky set"],
        "nearest, clean": untrained["nearest pair of the clean set"],
    }
    save_sheet(
        path,
        {name: list(some[:SHEET_ROWS]) for name, some in columns.items()},
        caption="Test frames of sequences. “leaky” was trained on siblings of these frames, “clean” on as many frames "
        "of other sequences. Look for what no visible picture tells: how warm the ground and the cars are.",
    )


def main(
    out: Path = typer.Option(repo_root() / "results", help="Folder for table1.json and figures/table1.jpg."),
    sequences: int = typer.Option(SEQUENCES, help="Simulated sequences, half of them tested."),
    steps: int = typer.Option(STEPS, min=1, help="Training steps of each set and seed."),
    seeds: int = typer.Option(SEEDS, min=1, help="Trainings of each set."),
    longer: int = typer.Option(LONGER, min=0, help="Steps of one more, longer training of each set; 0: none."),
    workers: int = typer.Option(None, min=1, help="Processes that render; one for each core if not given."),
) -> None:
    """Measure what leakage adds to scores and write results/table1.json. Stop it at will: it continues.

    Example: python -m v2ir_lib.evaluation.table1 --steps 400 --seeds 3
    """
    try:
        report = measure(out, sequences=sequences, steps=steps, seeds=seeds, longer=longer, workers=workers)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    for row in summary(report):
        print(row)
    print(f"wrote {out / 'table1.json'}")


def summary(report: dict) -> list[str]:
    """A few lines for a person: PSNR of all rows, then what leakage adds."""
    table = report["fixed_test_frames"]
    rows = report["baselines"] | {"trained, leaky": table["leaky"], "trained, clean": table["clean"]}
    gain = {"leaky minus clean": table, "the same, both halves": report["both_halves"]}
    rows |= {name: some["leaky_minus_clean"] for name, some in gain.items()}
    if "longer" in report:
        steps = report["longer"]["steps"]
        rows |= {f"both halves, {steps} steps": report["longer"]["both_halves"]["leaky_minus_clean"]}
    return [
        f"{name:31s} {row['psnr']['mean']:6.2f} dB  [{row['psnr']['low']:.2f}, {row['psnr']['high']:.2f}]"
        for name, row in rows.items()
    ]


if __name__ == "__main__":
    typer.run(main)
