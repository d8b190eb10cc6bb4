"""Kill a training with SIGKILL at random moments, start it again, and see whether it ends in the very same bytes.

    python scripts/kill_and_resume.py --times 100

Each time a new run of a small random UNet saves after every step and is killed up to three times: at a random moment
after a random step, or in the middle of a save. Exit code 1 if any run ends in other bytes than one left alone.
"""
# ruff: noqa: E402

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / place) for place in ("tests/plm", ".")]

from small_runs import small_data, small_phase, small_unet

from v2ir_lib.plm import checkpoint
from v2ir_lib.plm.checkpoint import TENSORS, checkpoints
from v2ir_lib.plm.loss import Loss
from v2ir_lib.plm.train import train

STEPS = 8
# A forked process has the libraries loaded; where there is CUDA, torch does not allow it.
CONTEXT = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "fork")


def run(folder: Path, hang_in_save: int | None = None) -> None:
    """The whole training, with a checkpoint after each step. It may hang in the middle of writing one of them."""
    torch.set_num_threads(1)
    if hang_in_save is not None:
        _hang(folder, hang_in_save)
    phase = small_phase("phase2", steps=STEPS)
    loss = Loss(phase, 0.7, torch.zeros(1, 7, 32))
    unet = small_unet(phase.in_channels)
    train(unet, phase, small_data(phase), loss, seed=0, folder=folder, seconds_between_checkpoints=0)


def _hang(folder: Path, step: int) -> None:
    """Let this process stop, in saving that step, between the tensors and the file that makes a checkpoint whole."""
    truly = checkpoint.sha256

    def slow(path: Path) -> str:
        if path.parent.name.startswith(f".{step:08d}"):
            (folder / "saving").touch()
            time.sleep(600)
        return truly(path)

    checkpoint.sha256 = slow


def killed(folder: Path, step: int, delay: float, in_save: bool) -> bool:
    """Start the training and kill it once it has saved `step`, `delay` seconds later, or within that save.

    False where it had ended before.
    """
    (folder / "saving").unlink(missing_ok=True)
    process = CONTEXT.Process(target=run, args=(folder, step if in_save else None))
    process.start()
    while process.is_alive():
        if (folder / "saving").exists() if in_save else (folder / f"{step:08d}").exists():
            time.sleep(delay)
            break
        time.sleep(0.002)
    process.kill()
    process.join()
    return process.exitcode == -9


def finish(folder: Path) -> bytes:
    """Start it again and leave it alone; the bytes of the last checkpoint: weights, average and moments."""
    process = CONTEXT.Process(target=run, args=(folder,))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"the run in {folder} failed with exit code {process.exitcode}")
    [last] = checkpoints(folder)[-1:]
    if last.name != f"{STEPS:08d}" or list(folder.glob(".*.tmp")):
        raise RuntimeError(f"{folder} holds {sorted(path.name for path in folder.iterdir())} after a whole run")
    return (last / TENSORS).read_bytes()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--times", type=int, default=20, help="how many runs")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    chosen = parser.parse_args(arguments)
    draw, bad, kills, in_saves = random.Random(chosen.seed), 0, 0, 0
    os.environ["TQDM_DISABLE"] = "1"
    with tempfile.TemporaryDirectory() as place:
        whole = finish(Path(place) / "whole")
        for number in range(chosen.times):
            folder = Path(place) / f"{number}"
            folder.mkdir()
            for step in sorted(draw.sample(range(1, STEPS), draw.randint(1, 3))):
                in_save = draw.random() < 1 / 3
                kills += killed(folder, step, draw.uniform(0, 0.05), in_save)
                in_saves += in_save
            same = finish(folder) == whole
            bad += not same
            print(f"{number + 1}: {'the same bytes' if same else 'OTHER BYTES'}")
    print(f"{chosen.times} runs, {kills} kills, {in_saves} of them in a save: {bad} ended in other bytes")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
