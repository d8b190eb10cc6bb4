"""Sheets of translations, as files: a row for each scene, visible first, truth and answers beside it."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from v2ir_lib.figures import picture_grid
from v2ir_lib.files import atomic_path


def save_sheet(
    path: Path, columns: dict[str, list[np.ndarray]], caption: str, labels: list[str] | tuple = (), cell: float = 1.2
) -> None:
    """Write a JPEG or PNG, by the suffix: one column for each kind of picture, one row for each scene.

    Pictures are uint8 (H, W) or (H, W, 3).
    """
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    figure = picture_grid(rows, columns=list(columns), labels=labels, caption=caption, cell=cell)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, **({"pil_kwargs": {"quality": 90}} if path.suffix == ".jpg" else {}))
    plt.close(figure)
