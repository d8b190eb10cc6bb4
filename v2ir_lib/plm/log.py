"""What a run tells while it goes on: a progress bar, and, where wanted, TensorBoard's curves and sample grids."""

import time
from pathlib import Path

from matplotlib.figure import Figure
from tqdm.auto import tqdm

from v2ir_lib.files import atomic_path
from v2ir_lib.plm.phases import Phase
from v2ir_lib.plm.state import Progress

RECENT = 50  # steps whose mean loss the bar shows


class Log:
    """One process's: all but the main one are silent. Use it as a context.

    `folder` is for TensorBoard (`tensorboard --logdir`); a resumed run takes out what it will write again.
    """

    def __init__(self, phase: Phase, progress: Progress, folder: str | Path | None = None, speaks: bool = True):
        self.images = phase.settings.batch_size
        self.begun, self.first = time.monotonic(), progress.step
        steps = {"total": phase.settings.steps, "initial": progress.step}
        self.bar = tqdm(**steps, desc=phase.name, unit="step", mininterval=1.0, disable=not speaks)
        self.folder = Path(folder) if folder and speaks else None
        self.writer = None
        if self.folder is not None:
            from torch.utils.tensorboard import SummaryWriter  # imports for a second: only where wanted

            self.writer = SummaryWriter(str(self.folder), purge_step=progress.step + 1)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        if self.writer is not None:
            self.writer.close()

    def step(self, progress: Progress, rate: float, norm) -> None:
        """One step is done: its loss is the last of `progress`, `rate` its learning rate, `norm` its gradient's."""
        speed = self.images * (progress.step - self.first) / max(time.monotonic() - self.begun, 1e-9)
        recent = progress.losses[-RECENT:]
        self.bar.update()
        self.bar.set_postfix({"loss": f"{sum(recent) / len(recent):.4f}", "images/s": f"{speed:.3g}"}, refresh=False)
        if self.writer is not None:
            values = {"loss": progress.losses[-1], "learning_rate": rate, "images_per_second": speed}
            for name, value in {**values, "gradient_norm": float(norm)}.items():
                self.writer.add_scalar(name, value, progress.step)

    def figure(self, step: int, figure: Figure) -> None:
        """A sheet of samples: for TensorBoard, and beside it as `samples/<step>.jpg`."""
        if self.writer is None:
            return
        with atomic_path(self.folder / "samples" / f"{step:08d}.jpg") as temporary:
            figure.savefig(temporary, pil_kwargs={"quality": 90})
        self.writer.add_figure("samples", figure, step, close=False)
