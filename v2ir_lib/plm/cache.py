"""Compute once, keep on disk: results of costly functions, addressed by what they were made from.

The name of a cached file is a hash of the input's bytes, of the weights that worked on it and of every setting. So a
changed picture, model or setting simply has another name: nothing stale can be read, and runs may share the folder,
several at once. Each file is written under a temporary name and renamed.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
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


def cached(
    kind: str,
    count: int,
    made_from: Callable[[slice], tuple],
    compute: Callable[[slice], dict[str, np.ndarray]],
    *,
    size: int = CHUNK,
    share: tuple[int, int] = (0, 1),
    read: bool = True,
) -> dict[str, np.ndarray] | None:
    """Arrays of `count` items, computed chunk by chunk where the cache does not have them.

    `made_from(chunk)` gives all that decides the result, for `fingerprint`; `compute(chunk)` the arrays, whose first
    dimension is the chunk's. With `share=(k, n)` only every n-th chunk from the k-th is done, so that n processes can
    fill one cache; with `read=False` nothing is returned. A damaged file is named and computed again.
    """
    folder = cache_dir() / "plm" / kind
    mine = list(chunks(count, size))[share[0] :: share[1]]
    parts = []
    for chunk in tqdm(mine, desc=kind, unit="chunk", delay=2, leave=False):
        path = folder / f"{fingerprint(*made_from(chunk))}.npz"
        arrays = _read(path, chunk.stop - chunk.start)
        if arrays is None:
            arrays = compute(chunk)
            with atomic_path(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, **arrays)
        if read:
            parts.append(arrays)
    if not read:
        return None
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


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
