"""A small manifest to annotate."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from v2ir_lib.records import Record, write_manifest

IDS = ("a", "night/b", "c")


def write_rows(folder: Path, photograph: np.ndarray) -> Path:
    """Three pairs, one of them in a frame of 4 pixels, and an infrared picture alone; returns the manifest's path."""
    (folder / "visible").mkdir(parents=True)
    for name, picture in zip("abc", (photograph, 255 - photograph, photograph[:, ::-1]), strict=True):
        Image.fromarray(picture).save(folder / "visible" / f"{name}.png")
    rows = [Record(id, f"g{i}", f"visible/{id[-1]}.png", f"infrared/{id[-1]}.png") for i, id in enumerate(IDS)]
    rows[0] = replace(rows[0], crop="4,4,60,36", caption="of a person")
    rows.append(Record("alone", "g9", "", "infrared/alone.png", band="lwir", caption="kept as it is"))
    write_manifest(folder / "manifest.csv", rows)
    return folder / "manifest.csv"
