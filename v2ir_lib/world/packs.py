"""Many scenes on disk: rendered once from their seeds into the cache, then memory-mapped."""

import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path, cache_dir, write_json
from v2ir_lib.world.render import Rendered, render_scene
from v2ir_lib.world.scene import sample_scene

VERSION = 2  # of the world: raise it when the same seed gives other pictures


@dataclass(frozen=True)
class PackSpec:
    """`count` scenes of the world `seed`; seeds differ between packs, so no two packs share a scene."""

    seed: int
    count: int
    visible: bool = True
    infrared: bool = True


PACKS = {
    "pairs": PackSpec(seed=101, count=1000),
    "infrared": PackSpec(seed=102, count=1000, visible=False),  # × 4 bands = 4,000 infrared-only images
    "captioned": PackSpec(seed=103, count=1200, infrared=False),  # with the pairs' own: 2,200 captioned visible scenes
    "style": PackSpec(seed=104, count=64),
    "validation": PackSpec(seed=105, count=128),
    "heldout": PackSpec(seed=106, count=512),
}


@dataclass(frozen=True)
class Pack:
    """Scenes 0 … N−1 of one pack; arrays are read-only memory maps, None where the pack has no such picture."""

    name: str
    visible: np.ndarray | None  # uint8 (N, 192, 192, 3)
    radiance: np.ndarray | None  # float32 (N, 4, 96, 96), W/m²/sr
    kelvin: np.ndarray | None  # float32 (N, 96, 96)
    instances: np.ndarray  # uint8 (N, 192, 192)
    classes: np.ndarray  # uint8 (N, 192, 192)
    captions: list[str]
    specs: list[dict]

    def __len__(self) -> int:
        return len(self.captions)


def _shapes(spec: PackSpec) -> dict[str, tuple[tuple, str]]:
    shapes: dict[str, tuple[tuple, str]] = {"instances": ((192, 192), "uint8"), "classes": ((192, 192), "uint8")}
    if spec.visible:
        shapes["visible"] = ((192, 192, 3), "uint8")
    if spec.infrared:
        shapes["radiance"], shapes["kelvin"] = ((4, 96, 96), "float32"), ((96, 96), "float32")
    return shapes


def pack_folder(name: str) -> Path:
    """Where a pack lives."""
    return cache_dir() / "world" / f"v{VERSION}" / name


def load_pack(name: str, limit: int | None = None, workers: int | None = None) -> Pack:
    """The first `limit` scenes of a pack (all by default), rendering with a progress bar what is not there yet.

    Raises `UserError` for an unknown name or a disk that is full.
    """
    if name not in PACKS:
        raise UserError(f"no pack {name!r}: choose one of {', '.join(PACKS)}")
    spec, folder = PACKS[name], pack_folder(name)
    count = spec.count if limit is None else min(limit, spec.count)
    missing = [index for index in range(count) if not _note(folder, index).exists()]
    if missing:
        _prepare(folder, spec)
        _render_missing(name, missing, workers)
    notes = [json.loads(_note(folder, index).read_text()) for index in range(count)]
    maps = {key: np.load(folder / f"{key}.npy", mmap_mode="r")[:count] for key in _shapes(spec)}
    empty: dict[str, np.ndarray | None] = {"visible": None, "radiance": None, "kelvin": None}
    return Pack(name=name, captions=[note["caption"] for note in notes], specs=notes, **{**empty, **maps})


def _note(folder: Path, index: int) -> Path:
    """A scene is there when its note is: the note is written last, and renamed into place."""
    return folder / "scenes" / f"{index // 500:03d}" / f"{index:05d}.json"


def _prepare(folder: Path, spec: PackSpec) -> None:
    """Make the arrays, or see that those that are there have room for all scenes."""
    for key, (shape, dtype) in _shapes(spec).items():
        path = folder / f"{key}.npy"
        if path.exists():
            if len(np.load(path, mmap_mode="r")) < spec.count:
                raise UserError(f"{folder} was made for fewer scenes: delete that folder, it is rendered again")
        elif (folder / "scenes").exists():
            raise UserError(f"{path} is gone: delete the folder {folder}, it is rendered again")
        else:
            with atomic_path(path) as temporary:
                np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=(spec.count, *shape))


def _render_missing(name: str, missing: list[int], workers: int | None) -> None:
    workers = min(workers or os.cpu_count() or 1, len(missing))
    jobs = [(name, str(pack_folder(name)), index) for index in missing]
    bar = tqdm(total=len(jobs), desc=f"rendering {name}", unit="scene")
    with bar, multiprocessing.get_context("spawn").Pool(workers, initializer=one_thread) as pool:
        for _ in pool.imap_unordered(_render_one, jobs):
            bar.update()


def one_thread() -> None:
    """One thread for each worker process, and one process for each core: no two compete for a core."""
    import drjit

    drjit.set_thread_count(1)
    if hasattr(os, "sched_setaffinity"):  # Linux: otherwise two busy workers may share one core while the other idles
        cores = sorted(os.sched_getaffinity(0))
        number = (multiprocessing.current_process()._identity or (1,))[0]
        os.sched_setaffinity(0, {cores[(number - 1) % len(cores)]})


def _render_one(job: tuple[str, str, int]) -> None:
    name, folder, index = job
    spec = PACKS[name]
    rendered = render_scene(sample_scene(spec.seed, index), spec.visible, spec.infrared)
    store(Path(folder), index, rendered, _shapes(spec))


def store(folder: Path, index: int, rendered: Rendered, keys) -> None:
    """Write the arrays first and the note last, so that an interrupted scene is rendered again.

    The pages are left to the operating system: a killed process loses nothing, and no scene waits for the disk.
    """
    for key in keys:
        array = np.lib.format.open_memmap(folder / f"{key}.npy", mode="r+")
        array[index] = getattr(rendered, key)
    write_json(_note(folder, index), {"caption": rendered.caption, **rendered.spec})
