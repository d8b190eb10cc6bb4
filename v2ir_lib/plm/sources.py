"""Where a phase's pictures come from: a pack of the simulated world, or a manifest of picture files.

Both are `Scenes`, which is all that `prepare.py` knows of them. Pictures of a manifest are read when they are needed,
at their own sizes; the hash of a file's bytes stands for what is in it, so a cached result needs no decoding.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import numpy as np

from v2ir_lib.data import reading
from v2ir_lib.errors import UserError
from v2ir_lib.files import sha256
from v2ir_lib.plm.cache import fingerprint
from v2ir_lib.records import Record, read_manifest
from v2ir_lib.world import cameras as camera_models
from v2ir_lib.world.cameras import CAMERAS, expose


class Scenes(Protocol):
    """N scenes. `visible[i]` is uint8 (H, W, 3), `visible[slice]` several; None where there are infrared ones alone."""

    name: str  # in the names of cached files
    visible: Sequence[np.ndarray] | None

    def __len__(self) -> int: ...

    def infrared(self, scene: int, camera: str) -> np.ndarray:
        """The scene as that camera sees it, uint8 (H, W)."""

    def infrared_content(self, chunk: slice) -> tuple:
        """All that decides `infrared` of these scenes, for `cache.fingerprint`."""


class PackScenes:
    """Scenes of the simulated world: any camera's look can be made of their radiance."""

    def __init__(self, pack):
        self.pack, self.name, self.visible = pack, pack.name, pack.visible

    def __len__(self) -> int:
        return len(self.pack)

    def infrared(self, scene: int, camera: str) -> np.ndarray:
        return expose(self.pack.radiance[scene], CAMERAS[camera], exposure_seed(self.name, scene))

    def infrared_content(self, chunk: slice) -> tuple:
        code = inspect.getsource(camera_models)  # a camera that works otherwise makes other pictures
        return code, self.name, chunk.start, np.asarray(self.pack.radiance[chunk])


@dataclass
class ManifestScenes:
    """Rows of a manifest: one infrared picture each, whatever camera took it."""

    name: str
    records: list[Record]
    folder: Path  # the manifest's, which paths are relative to

    def __len__(self) -> int:
        return len(self.records)

    @property
    def visible(self) -> "VisibleFiles | None":
        return VisibleFiles(self) if any(record.visible for record in self.records) else None

    def infrared(self, scene: int, camera: str = "") -> np.ndarray:
        return reading.read_infrared(self.records[scene], self.folder)

    def infrared_content(self, chunk: slice) -> tuple:
        rows = range(len(self))[chunk]
        greys = [(self.records[i].grey_low, self.records[i].grey_high) for i in rows]
        return self.content("infrared", chunk), greys

    def content(self, kind: str, chunk: slice) -> tuple:
        """What stands for the "visible" or "infrared" files of these rows: code, bytes, the part that is cut out."""
        rows = range(len(self))[chunk]
        return inspect.getsource(reading), [(self.hashes(kind, i), self.records[i].crop) for i in rows]

    def hashes(self, kind: str, row: int) -> str:
        """SHA-256 of one row's file, read once, or "" where it has none; `UserError` where the file is missing."""
        if not getattr(self.records[row], kind):
            return ""
        path = str(Path(self.folder, getattr(self.records[row], kind)))
        if path not in self._hashes:
            try:
                self._hashes[path] = sha256(path)
            except OSError as error:
                raise UserError(f"cannot read {path}, the {kind} picture of {self.records[row].id}: {error}") from None
        return self._hashes[path]

    @cached_property
    def _hashes(self) -> dict[str, str]:
        return {}

    def fingerprint(self) -> str:
        """A hash that tells these rows from any others."""
        everything = slice(0, len(self))
        return fingerprint(self.infrared_content(everything), self.visible and self.content("visible", everything))


class VisibleFiles(Sequence):
    """The visible pictures of a manifest, each read anew."""

    def __init__(self, scenes: ManifestScenes):
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        return reading.read_visible(self.scenes.records[index], self.scenes.folder)

    def content(self, chunk: slice) -> tuple:
        """What stands for these pictures in a fingerprint."""
        return self.scenes.content("visible", chunk)


def content(pictures, chunk: slice):
    """What stands for some pictures in a fingerprint: their own word for it, or, of an array, the pictures."""
    return pictures.content(chunk) if hasattr(pictures, "content") else np.asarray(pictures[chunk])


def as_scenes(source) -> Scenes:
    """A pack, or scenes already, as scenes."""
    return source if hasattr(source, "infrared_content") else PackScenes(source)


def manifest_scenes(
    path: str | Path, split: str = "train", *, pairs: bool = True, dataset: str | None = None
) -> ManifestScenes:
    """The rows of a manifest with that split, or with none; `UserError` where there is nothing to learn from.

    pairs: only rows with a visible picture, too. dataset: only that one's rows, of a manifest of several.
    """
    path = Path(path)
    every = read_manifest(path)
    known = sorted({record.dataset for record in every})
    if dataset is not None and dataset not in known:
        if not any(known):
            raise UserError(f"{path} names no datasets: leave out --dataset")
        raise UserError(f"{path} has no dataset {dataset!r}: choose one of {', '.join(filter(None, known))}")
    rows = [record for record in every if record.split in (split, "") and record.infrared]
    rows = [record for record in rows if dataset in (None, record.dataset) and (record.visible or not pairs)]
    if not rows:
        what = "both pictures" if pairs else "an infrared picture"
        of = f"{path}, dataset {dataset}," if dataset else f"{path}"
        raise UserError(f"{of} has no row with {what} and the split {split!r} (or none): nothing to train on")
    return ManifestScenes("-".join(filter(None, (path.stem, dataset))), rows, path.parent)


def exposure_seed(pack: str, scene: int) -> int:
    """The camera noise of a scene: the same for every run, another for every scene of every pack."""
    return int.from_bytes(blake2b(f"{pack}/{scene}".encode(), digest_size=4).digest(), "big") >> 1
