"""Compute once, keep on disk: results of costly functions, addressed by what they were made from.

The name of a cached file is a hash of the input's bytes, of the weights that worked on it and of every setting. So a
changed picture, model or setting simply has another name: nothing stale can be read, and runs may share the folder,
several at once. Each file is written under a temporary name and renamed.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from torch import nn
from tqdm.auto import tqdm

from v2ir_lib.files import atomic_path, cache_dir

CHUNK = 16  # items a file: few enough to lose little when killed, enough to be worth a batch


def fingerprint(*parts: object) -> str:
    """A hash of arrays (bytes, shape, type) and of anything else (its `repr`): 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def weights_fingerprint(model: nn.Module) -> str:
    """A hash of all of a model's weights and buffers with their names: what was computed with it depends on it."""
    parts = []
    for name, tensor in sorted(model.state_dict().items()):
        parts += [name, tensor.detach().float().cpu().numpy()]
    return fingerprint(*parts)


def chunks(count: int, size: int = CHUNK) -> Iterator[slice]:
    """0…count in slices of `size`; the last may be shorter."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


@dataclass
class Kept:
    """Arrays of `count` items, kept on disk chunk by chunk, and computed where they are not there.

    `made_from(chunk)` gives all that decides the result, for `fingerprint`; `compute(chunk)` the arrays, whose first
    dimension is the chunk's. A damaged file is named and computed again. `packed`: zip-compressed, for what has large
    even areas.
    """

    kind: str
    count: int
    made_from: Callable[[slice], tuple]
    compute: Callable[[slice], dict[str, np.ndarray]]
    size: int = CHUNK
    packed: bool = False
    _names: dict[int, str] = field(default_factory=dict)  # of files, by the chunk's first item

    def name(self, chunk: slice) -> str:
        """Of a chunk's file: the fingerprint of all that decides it."""
        if chunk.start not in self._names:
            self._names[chunk.start] = fingerprint(*self.made_from(chunk))
        return self._names[chunk.start]

    def arrays(self, chunk: slice) -> dict[str, np.ndarray]:
        """A chunk's arrays, from its file or, where it has none, computed and filed."""
        path = self._path(chunk)
        arrays = _read(path, chunk.stop - chunk.start)
        if arrays is None:
            arrays = self.compute(chunk)
            with atomic_path(path) as temporary, open(temporary, "wb") as file:
                (np.savez_compressed if self.packed else np.savez)(file, **arrays)
        return arrays

    def fill(self, share: tuple[int, int] = (0, 1)) -> None:
        """Compute what has no file. `share=(k, n)`: every n-th chunk from the k-th; n processes fill one cache."""
        for chunk in self._shown(share):
            if not self._path(chunk).is_file():
                self.arrays(chunk)

    def read(self) -> dict[str, np.ndarray]:
        """Everything, in memory."""
        parts = [self.arrays(chunk) for chunk in self._shown()]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _path(self, chunk: slice) -> Path:
        return cache_dir() / "plm" / self.kind / f"{self.name(chunk)}.npz"

    def _shown(self, share: tuple[int, int] = (0, 1)):
        mine = list(chunks(self.count, self.size))[share[0] :: share[1]]
        return tqdm(mine, desc=self.kind, unit="chunk", delay=2, leave=False)


class Items(Sequence):
    """One array of what is kept, of which a chunk at a time is in memory: `items[i]`, `items[slice]`."""

    def __init__(self, kept: Kept, name: str):
        self.kept, self.name = kept, name
        self._start, self._chunk = -1, None  # the last one that was read: neighbours are asked for together

    def __len__(self) -> int:
        return self.kept.count

    def __getitem__(self, index):
        if isinstance(index, slice):
            return np.stack([self[i] for i in range(len(self))[index]])
        index = range(len(self))[index]
        chunk = next(self._chunks(slice(index, index + 1)))
        if chunk.start != self._start:
            self._start, self._chunk = chunk.start, self.kept.arrays(chunk)[self.name]
        return self._chunk[index - chunk.start]

    def content(self, chunk: slice) -> tuple:
        """What stands for these items in a fingerprint: what decides them. Nothing is read."""
        return chunk.start, chunk.stop, [self.kept.name(one) for one in self._chunks(chunk)]

    def _chunks(self, some: slice) -> Iterator[slice]:
        """The chunks that hold these items."""
        size = self.kept.size
        whole = chunks(len(self), size)
        return islice(whole, some.start // size, -(-some.stop // size))


def cached(
    kind: str, count: int, made_from: Callable, compute: Callable, *, size: int = CHUNK
) -> dict[str, np.ndarray]:
    """All arrays of a `Kept` of these, in memory."""
    return Kept(kind, count, made_from, compute, size).read()


def _read(path: Path, count: int) -> dict[str, np.ndarray] | None:
    """The arrays of a cached file, never unpickled; None where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        return None
    except Exception:  # a truncated archive raises one of half a dozen types; all mean: compute it again
        os.replace(path, path.with_suffix(".damaged"))
        print(f"{path} is damaged: kept as .damaged, and computed again", file=sys.stderr)
        return None
    return arrays if all(len(array) == count for array in arrays.values()) else None
