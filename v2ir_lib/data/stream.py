"""A training stream over shards: shuffled, resumed exactly, and shared by ranks and workers without repeats or gaps.

The order is a function of (seed, epoch): shards in a drawn order, and the rows of a few neighbouring shards mixed.
Ranks take turns along it: of world_size ranks, rank r gives the positions r, r + world_size, … So a stream's whole
state is one number, its position: how many rows all ranks together have given since the first epoch began. Rows are
read by their offsets in the index, which is why neither workers nor what they read ahead can change the order.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from v2ir_lib.data.shard_index import part_names, read_index, row_sha256
from v2ir_lib.errors import UserError

MIX = 4  # shards whose rows are mixed: about as many files are read at a time


def epoch_order(shards: np.ndarray, seed: int, epoch: int, mix: int = MIX) -> np.ndarray:
    """The order in which an epoch visits all rows, (N,) int64, from each row's shard number, (N,)."""
    draw = np.random.default_rng([seed, epoch])
    names = np.unique(shards)
    place = np.empty(len(names), np.int64)
    place[draw.permutation(len(names))] = np.arange(len(names))
    window = place[np.searchsorted(names, shards)] // mix
    return np.lexsort((draw.random(len(shards)), window))


class ShardReader:
    """A folder of shards as a sequence of rows: each a dict of its id, the JSON record, and bytes by part.

    split: which one; may be left out where the shards have only one, so that no test row slips into a training.
    A part that a row has not (visible, of an infrared picture alone) is missing from its dict. Each process opens the
    files for itself, so a reader may be handed to workers. Raises `UserError` where a shard is missing, cut off or,
    with `check`, where a row's bytes are not those of the index.
    """

    def __init__(self, folder: str | Path, split: str | None = None, check: bool = True):
        self.folder, self.check = Path(folder), check
        index = read_index(folder)
        splits = index["split"].to_numpy(zero_copy_only=False)
        known = sorted(set(splits.tolist()))
        if (split is None and len(known) > 1) or (split is not None and split not in known):
            raise UserError(f"split {split!r} of {folder}: choose one of {', '.join(known)}")
        chosen = np.flatnonzero(splits == (known[0] if split is None else split))
        index = index.take(chosen)
        self.names = part_names(
            [name[: -len("_offset")] for name in index.column_names if name.endswith("_offset")][3:]
        )
        self.ids, self.hashes = (index[name].combine_chunks() for name in ("id", "sha256"))  # no list: workers share it
        self.files, self.shards = np.unique(index["shard"].to_numpy(zero_copy_only=False), return_inverse=True)
        self.offsets, self.sizes = (
            np.stack([index[f"{name}_{what}"].to_numpy() for name in self.names], axis=1) for what in ("offset", "size")
        )
        ends = np.zeros(len(self.files), np.int64)
        np.maximum.at(ends, self.shards, (self.offsets + self.sizes).max(axis=1))
        for name, end in zip(self.files, ends.tolist(), strict=True):
            self._look(self.folder / f"{name}.tar", end)
        self._open: dict[int, int] = {}
        self._owner = os.getpid()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> dict[str, Any]:
        found: dict[str, Any] = {"id": self.ids[row].as_py()}
        contents = []
        for name, offset, size in zip(self.names, self.offsets[row], self.sizes[row], strict=True):
            if offset >= 0:
                contents.append(self._read(int(self.shards[row]), int(size), int(offset)))
                found[name] = contents[-1]
        if self.check and row_sha256(contents) != self.hashes[row].as_py():
            raise UserError(f"shard {self._path(row)} is damaged at {found['id']}: run v2ir data shard again")
        return found

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_open": {}, "_owner": -1}

    def _read(self, shard: int, size: int, offset: int) -> bytes:
        if self._owner != os.getpid():  # a forked worker: a file of its own
            self._open, self._owner = {}, os.getpid()
        if shard not in self._open:
            path = self.folder / f"{self.files[shard]}.tar"
            if len(self._open) > 2 * MIX:
                os.close(self._open.pop(next(iter(self._open))))
            try:
                self._open[shard] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise UserError(f"shard {path} is missing ({error.strerror}): run v2ir data shard again") from None
        return os.pread(self._open[shard], size, offset)

    def _path(self, row: int) -> Path:
        return self.folder / f"{self.files[self.shards[row]]}.tar"

    @staticmethod
    def _look(path: Path, end: int) -> None:
        if not path.is_file():
            raise UserError(f"shard {path} is missing: run v2ir data shard again to complete the folder")
        if path.stat().st_size < end:
            raise UserError(f"shard {path} is cut off: run v2ir data shard again")


class ShardStream:
    """Rows of a reader, epoch after epoch, from `position` on, as one of `world_size` ranks.

    position: rows that all ranks have given before, since epoch 0; a multiple of world_size while all keep step.
    epochs: how many in all, counted from epoch 0; None: without end, so that every rank has equally many rows.
    """

    def __init__(
        self,
        reader: ShardReader,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        position: int = 0,
        epochs: int | None = 1,
        mix: int = MIX,
    ):
        if not 0 <= rank < world_size or position < 0 or mix < 1 or (epochs is not None and epochs < 1):
            raise UserError(f"no such stream: rank {rank} of {world_size}, position {position}, epochs {epochs}")
        self.reader, self.seed, self.rank, self.world_size = reader, seed, rank, world_size
        self.position, self.epochs, self.mix = position, epochs, mix

    def rows(self) -> Iterator[int]:
        """Row numbers that this rank has still to give, in order; the position stays as it is."""
        count, epoch, order = len(self.reader), -1, np.zeros(0, np.int64)
        position = self.position + self.rank
        while self.epochs is None or position < self.epochs * count:
            if position // count != epoch:
                epoch = position // count
                order = epoch_order(self.reader.shards, self.seed, epoch, self.mix)
            yield int(order[position % count])
            position += self.world_size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Rows, read in this process."""
        for row in self.rows():
            found = self.reader[row]
            self.position += self.world_size
            yield found

    def batches(
        self,
        batch_size: int,
        workers: int = 0,
        decode: Callable[[dict[str, Any]], Any] | None = None,
        collate: Callable[[list], Any] = list,
        drop_last: bool = False,
    ) -> Iterator[Any]:
        """Batches of `batch_size` rows of this rank, read and decoded by torch's DataLoader in `workers` processes.

        decode: one row to what is wanted, in the worker. collate: such a list to a batch. The position counts what has
        been given, not what was read ahead. Raises `UserError` for a damaged shard, whatever process found it.
        """
        from torch.utils.data import DataLoader

        loader = DataLoader(
            _Rows(self.reader, decode),
            batch_size=batch_size,
            sampler=_Order(self),
            num_workers=workers,
            collate_fn=list,
            drop_last=drop_last,
        )
        for batch in loader:
            for found in batch:
                if isinstance(found, UserError):
                    raise found
            self.position += len(batch) * self.world_size
            yield collate(batch)

    def state_dict(self) -> dict[str, int]:
        """What a checkpoint keeps; any rank's will do, and any number of ranks may go on from it."""
        return {"seed": self.seed, "position": self.position, "rows": len(self.reader)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where the state was taken. Raises `UserError` for a state of other shards."""
        if state["rows"] != len(self.reader):
            raise UserError(f"the stream's state is of {state['rows']} rows, the shards have {len(self.reader)}")
        self.seed, self.position = state["seed"], state["position"]


class _Order:
    """The stream's row numbers as a sampler, drawn anew for each DataLoader."""

    def __init__(self, stream: ShardStream):
        self.stream = stream

    def __iter__(self) -> Iterator[int]:
        return self.stream.rows()


class _Rows:
    """Rows for a worker. A `UserError` comes back as a value: torch would wrap it in a traceback."""

    def __init__(self, reader: ShardReader, decode: Callable[[dict[str, Any]], Any] | None):
        self.reader, self.decode = reader, decode

    def __getitem__(self, row: int) -> Any:
        try:
            found = self.reader[row]
            return self.decode(found) if self.decode else found
        except UserError as error:
            return error
