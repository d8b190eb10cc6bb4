"""Plant faults in a copy of clean pairs, to see whether the audit finds them.

    python tests/data/planted_faults.py MANIFEST FOLDER --count 20 --seed 0

FOLDER then holds copies of all pictures, manifest.csv, and planted.json: which row has which fault.
"""

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from v2ir_lib.records import Record, read_manifest, write_manifest

REFLECTED = ("nir", "swir")


def truncated(record: Record, folder: Path, rng: np.random.Generator) -> None:
    """One of the two files, between a third and nine tenths of it."""
    path = folder / (record.visible if rng.integers(2) else record.infrared)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * rng.uniform(0.33, 0.9))])


def text(record: Record, folder: Path, rng: np.random.Generator) -> None:
    """What a server sends in place of a picture."""
    path = folder / (record.visible if rng.integers(2) else record.infrared)
    path.write_text("<html><body>404 Not Found</body></html>\n")


def black_frame(record: Record, folder: Path, rng: np.random.Generator) -> None:
    """A shutter that was closed, with its noise."""
    _change(folder / record.infrared, lambda grey: rng.integers(0, 3, grey.shape).astype(np.uint8))


def black_border(record: Record, folder: Path, rng: np.random.Generator) -> None:
    """FLIR: black strips at the left and right of the visible picture, saved as JPEG."""

    def change(picture):
        width = int(picture.shape[1] * rng.uniform(0.03, 0.1))
        picture[:, :width], picture[:, -width:] = 0, 0
        return picture

    _change(folder / record.visible, change)


def white_frame(record: Record, folder: Path, rng: np.random.Generator) -> None:
    """DroneVehicle: both pictures in a white frame, 100 pixels of 840."""

    def change(picture):
        y, x = (max(round(side * 100 / 640), 4) for side in picture.shape[:2])
        return np.pad(picture, ((y, y), (x, x), (0, 0))[: picture.ndim], constant_values=255)

    for name in (record.visible, record.infrared):
        _change(folder / name, change)


def colour_map(record: Record, folder: Path, rng: np.random.Generator) -> None:
    """A camera's display palette instead of temperatures."""
    palette = (cv2.COLORMAP_JET, cv2.COLORMAP_INFERNO, cv2.COLORMAP_HOT)[rng.integers(3)]
    _change(folder / record.infrared, lambda grey: cv2.applyColorMap(grey, palette)[..., ::-1])


def inverted(record: Record, folder: Path, rng: np.random.Generator) -> None:
    """Black hot, where the rest of the sequence is white hot."""
    _change(folder / record.infrared, lambda grey: 255 - grey)


def shifted(record: Record, folder: Path, rng: np.random.Generator) -> None:
    """Infrared moved by 8 to 14 visible pixels in any direction; what comes in is its edge repeated."""
    with Image.open(folder / record.visible) as visible, Image.open(folder / record.infrared) as infrared:
        scale = infrared.width / visible.width
    distance, angle = rng.uniform(8, 14) * scale, rng.uniform(0, 2 * np.pi)
    matrix = np.float32([[1, 0, distance * np.cos(angle)], [0, 1, distance * np.sin(angle)]])
    _change(
        folder / record.infrared,
        lambda grey: cv2.warpAffine(grey, matrix, grey.shape[::-1], borderMode=cv2.BORDER_REPLICATE),
    )


def wrong_size(record: Record, folder: Path, rng: np.random.Generator) -> None:
    """Infrared squeezed to another shape, or made smaller than the rest."""
    x, y = ((0.8, 1.0), (0.6, 0.6))[rng.integers(2)]
    _change(folder / record.infrared, lambda grey: cv2.resize(grey, None, fx=x, fy=y, interpolation=cv2.INTER_AREA))


def exact_duplicate(record: Record, folder: Path, rng: np.random.Generator) -> Record:
    """The same files under other names, in another group."""
    return _copied(record, folder, lambda path, copy: shutil.copyfile(path, copy))


def near_duplicate(record: Record, folder: Path, rng: np.random.Generator) -> Record:
    """Both pictures cropped by 2% at each side or not at all, to their old size, saved as JPEG: another group."""
    part = 0.02 * rng.integers(2)
    quality = int(rng.integers(40, 80))

    def write(path, copy):
        with Image.open(path) as image:
            width, height = image.size
            box = (width * part, height * part, width * (1 - part), height * (1 - part))
            image.resize(image.size, Image.Resampling.BICUBIC, box=box).save(copy, "JPEG", quality=quality)

    return _copied(record, folder, write)


FAULTS: dict[str, tuple[Callable, set[str]]] = {  # the fault, and the codes by which the audit may call it
    "truncated": (truncated, {"truncated"}),
    "text": (text, {"unreadable"}),
    "black_frame": (black_frame, {"black"}),
    "black_border": (black_border, {"border"}),
    "white_frame": (white_frame, {"border"}),
    "colour_map": (colour_map, {"colour_mapped"}),
    "inverted": (inverted, {"inverted"}),
    "shifted": (shifted, {"misaligned"}),
    "wrong_size": (wrong_size, {"size"}),
    "exact_duplicate": (exact_duplicate, {"duplicate", "leak"}),
    "near_duplicate": (near_duplicate, {"other_group", "leak"}),
}


def plant(records: list[Record], source: Path, folder: Path, *, count: int = 20, seed: int = 0) -> dict[str, str]:
    """Copy the pairs to `folder`, plant `count` faults of all kinds in turn, write the manifest; {row id: fault}.

    Each fault gets rows of its own. Pictures that several rows share are copied for each. Inverted rows come from
    groups of three frames or more of one kind of band, whose other frames stay as they are: nothing else could tell.
    """
    rng = np.random.default_rng(seed)
    copies = [_own_copy(record, source, folder) for record in records]
    band = [(record.dataset, record.group, record.band in REFLECTED) for record in records]
    frames = Counter(band)
    free = list(rng.permutation(len(records)))
    planted, added = {}, []
    kinds = sorted(FAULTS, key=lambda kind: kind != "inverted")  # the one that cannot be put anywhere chooses first
    for kind in sorted((list(FAULTS)[i % len(FAULTS)] for i in range(count)), key=kinds.index):
        row = next(i for i in free if kind != "inverted" or frames[band[i]] >= 3)
        free = [i for i in free if i != row and not (kind == "inverted" and band[i] == band[row])]
        if (new := FAULTS[kind][0](copies[row], folder, rng)) is not None:
            added.append(new)
        planted[(new or copies[row]).id] = kind
    write_manifest(folder / "manifest.csv", copies + added)
    (folder / "planted.json").write_text(json.dumps(planted, indent=2) + "\n", encoding="utf-8")
    return planted


def _own_copy(record: Record, source: Path, folder: Path) -> Record:
    names = {}
    for kind in ("visible", "infrared"):
        path = source / getattr(record, kind)
        names[kind] = f"{kind}/{record.id.replace('/', '_')}{path.suffix}"
        (folder / kind).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / names[kind])
    return replace(record, **names, visible_sha256="", infrared_sha256="")


def _copied(record: Record, folder: Path, write: Callable[[Path, Path], object]) -> Record:
    names = {}
    for kind in ("visible", "infrared"):
        old = Path(getattr(record, kind))
        names[kind] = old.with_name(f"again_{old.stem}.jpg").as_posix()
        write(folder / old, folder / names[kind])
    return replace(record, id=f"again_{record.id}", group=f"again_{record.group}", **names)


def _change(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Rewrite a picture in its own format."""
    with Image.open(path) as image:
        pixels = np.array(image)
    Image.fromarray(np.ascontiguousarray(change(pixels))).save(path, quality=90)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    planted = plant(
        read_manifest(given.manifest), given.manifest.parent, given.folder, count=given.count, seed=given.seed
    )
    for row, kind in planted.items():
        print(f"{kind:<16} {row}")


if __name__ == "__main__":
    main()
