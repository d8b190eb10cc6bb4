"""Train a small UNet alone and in two launched processes, and compare gradients and weights.

    python scripts/two_processes.py

Prints the largest differences; exit code 1 where they are more than rounding. torchrun starts the processes, as
`accelerate launch` does it for GPUs: with --cpu, accelerate 1.15 starts a single one unless there is MPI, whatever
--num_processes says, and a comparison would be of a run with itself. The test suite does the same without the
launcher (tests/plm/test_processes.py), which is quicker.
"""
# ruff: noqa: E402

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from accelerate import PartialState

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / place) for place in ("tests/plm", ".")]

from small_runs import small_data, small_phase, small_unet

from v2ir_lib.plm.checkpoint import load_newest
from v2ir_lib.plm.loss import Loss
from v2ir_lib.plm.train import train

STEPS, BATCH, RATE = 3, 5, 1e-4  # five samples: three are the first process's, two the second's
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]


def run(folder: Path) -> None:
    torch.set_num_threads(1)
    phase = small_phase("phase2", steps=STEPS, batch_size=BATCH, learning_rate=RATE)
    loss = Loss(phase, 0.7, torch.zeros(1, 7, 32))
    train(small_unet(phase.in_channels), phase, small_data(phase), loss, seed=0, folder=folder)


def main() -> int:
    if len(sys.argv) == 2:
        folder = Path(sys.argv[1])
        run(folder)
        (folder / f"process{PartialState().process_index}").touch()
        return 0
    with tempfile.TemporaryDirectory() as place:
        one, two = Path(place) / "one", Path(place) / "two"
        run(one)
        subprocess.run([*LAUNCH, __file__, str(two)], check=True, env=os.environ | {"ACCELERATE_USE_CPU": "true"})
        started = len(list(two.glob("process*")))
        (a, _), (b, _) = load_newest(one), load_newest(two)
    gradients = [name for name in a if name.startswith("exp_avg/")]
    weights = [name for name in a if name.startswith("weights/")]
    largest = max(float(a[name].abs().max()) for name in gradients)
    gradient = max(float((a[name] - b[name]).abs().max()) for name in gradients) / largest
    weight = max(float((a[name] - b[name]).abs().mean()) for name in weights) / RATE
    print(f"{started} processes: gradients differ by {gradient:.1e} of the largest, weights by {weight:.1e} of a step")
    return int(not (started == 2 and gradient < 1e-5 and weight < 1e-3))


if __name__ == "__main__":
    sys.exit(main())
