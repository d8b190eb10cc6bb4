"""The stream: every row once an epoch, whatever the ranks and workers; resumed in the middle as if never stopped."""

import multiprocessing
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from split_rows import pictured

from v2ir_lib.data.shards import write_shards
from v2ir_lib.data.stream import ShardReader, ShardStream, epoch_order
from v2ir_lib.errors import UserError
from v2ir_lib.records import read_manifest

ROWS = 43  # in seven shards; neither two ranks nor batches of four divide it


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Shards of 43 rows, some six in each."""
    here = tmp_path_factory.mktemp("shards")
    manifest = pictured(here, groups=ROWS, each=1)
    write_shards(manifest, here / "out", size=7, workers=1, progress=False)
    return here / "out"


@pytest.fixture(scope="module")
def reader(folder) -> ShardReader:
    return ShardReader(folder)


def ids(rows) -> list[str]:
    return [row["id"] for row in rows]


def alone(reader, **options) -> list[str]:
    return ids(ShardStream(reader, **options))


def woven(orders: list[list[str]]) -> list[str]:
    """Position k is rank k % world_size's."""
    return [order[k] for k in range(max(map(len, orders))) for order in orders if k < len(order)]


def test_rows_are_the_files(folder, reader):
    records = read_manifest(folder.parent / "manifest.csv")
    assert len(reader) == ROWS
    for row, record in enumerate(records):
        found = reader[row]
        assert found["id"] == record.id and set(found) == {"id", "visible", "infrared", "record"}
        for kind in ("visible", "infrared"):
            assert found[kind] == (folder.parent / getattr(record, kind)).read_bytes()


def test_the_order_of_an_epoch():
    shards = np.repeat(np.arange(6), 5)
    order = epoch_order(shards, seed=1, epoch=0, mix=2)
    assert sorted(order) == list(range(30)) and order.tolist() != sorted(order)
    for window in range(3):  # two shards at a time, and both mixed
        some = shards[order[10 * window : 10 * window + 10]]
        assert len(set(some)) == 2 and len(set(some[:5])) == 2
    assert epoch_order(shards, 1, 0, 2).tolist() == order.tolist()
    others = [epoch_order(shards, seed, epoch, 2).tolist() for seed, epoch in ((2, 0), (1, 1), (0, 1))]
    assert all(other != order.tolist() for other in others) and others[0] != others[1]
    whole = Counter(int(epoch_order(np.zeros(4), 0, epoch)[0]) for epoch in range(400))
    assert min(whole.values()) > 60, "any row may come first"


def test_an_epoch_has_every_row_once(reader):
    for world_size in (1, 2, 3, 50):
        orders = [alone(reader, seed=3, rank=rank, world_size=world_size) for rank in range(world_size)]
        assert woven(orders) == alone(reader, seed=3)
        assert max(map(len, orders)) - min(map(len, orders)) <= 1
    assert Counter(alone(reader, seed=3, epochs=2)) == dict.fromkeys(alone(reader), 2)
    both = alone(reader, seed=3, epochs=2)
    assert sorted(both[:ROWS]) == sorted(both[ROWS:]) and both[:ROWS] != both[ROWS:]


def test_two_ranks_with_two_workers(reader):
    """Batches of four from two processes each: the same order as alone, every row once."""
    orders = []
    for rank in range(2):
        stream = ShardStream(reader, seed=5, rank=rank, world_size=2)
        batches = list(stream.batches(4, workers=2, collate=ids))
        assert [len(batch) for batch in batches[:-1]] == [4] * (len(batches) - 1)
        orders.append([name for batch in batches for name in batch])
    assert woven(orders) == alone(reader, seed=5) and len(set(woven(orders))) == ROWS


def test_resume_in_the_middle_of_an_epoch(reader):
    """Stopped after three batches of two ranks, with more read ahead; resumed by both, by one, and by three."""
    whole = alone(reader, seed=5, epochs=2)
    streams = [ShardStream(reader, seed=5, rank=rank, world_size=2, epochs=2) for rank in range(2)]
    before = []
    for stream in streams:
        batches = stream.batches(4, workers=2 if stream.rank else 0, collate=ids)
        before.append([name for _ in range(3) for name in next(batches)])
        batches.close()
    assert woven(before) == whole[:24] and [stream.position for stream in streams] == [24, 24]
    state = pickle.loads(pickle.dumps(streams[1].state_dict()))
    for world_size, batch_size in ((2, 4), (1, 5), (3, 2)):
        after = []
        for rank in range(world_size):
            stream = ShardStream(reader, rank=rank, world_size=world_size, epochs=2)
            stream.load_state_dict(state)
            after.append([name for batch in stream.batches(batch_size, collate=ids) for name in batch])
        assert woven(after) == whole[24:]


def test_an_endless_stream_keeps_ranks_in_step(reader):
    streams = [iter(ShardStream(reader, seed=1, rank=rank, world_size=2, epochs=None)) for rank in range(2)]
    given = [[next(stream)["id"] for _ in range(100)] for stream in streams]
    assert woven(given) == alone(reader, seed=1, epochs=5)[:200]


def test_decode_and_drop_last(reader):
    stream = ShardStream(reader, seed=5)
    batches = list(stream.batches(4, workers=1, decode=sizes, drop_last=True))
    names = alone(reader, seed=5)
    assert [name for batch in batches for name, _ in batch] == names[:40] and stream.position == 40
    assert all(size == len(reader[reader.ids.to_pylist().index(name)]["visible"]) for name, size in batches[0])


def sizes(row: dict) -> tuple[str, int]:
    return row["id"], len(row["visible"])


def first_ids(reader: ShardReader) -> list[str]:
    return ids(reader[row] for row in range(8))


def test_a_reader_goes_to_other_processes(reader):
    expected = first_ids(reader)  # files are open now
    for way in ("fork", "spawn"):
        with multiprocessing.get_context(way).Pool(1) as pool:
            assert pool.apply(first_ids, (reader,)) == expected
    assert first_ids(reader) == expected


def copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_missing_and_cut_off_shards(folder, tmp_path):
    broken = copy(folder, tmp_path / "broken")
    tar = broken / "all-000003.tar"
    content = tar.read_bytes()
    tar.write_bytes(content[:4000])
    with pytest.raises(UserError, match=r"all-000003\.tar is cut off"):
        ShardReader(broken)
    tar.unlink()
    with pytest.raises(UserError, match=r"all-000003\.tar is missing"):
        ShardReader(broken)
    tar.write_bytes(content)
    reader = ShardReader(broken)
    tar.unlink()
    with pytest.raises(UserError, match=r"all-000003\.tar is missing"):
        alone(reader)
    (broken / "index.parquet").unlink()
    with pytest.raises(UserError, match="no index"):
        ShardReader(broken)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_shard(folder, tmp_path, workers):
    """One line that names it, from whatever process; the rows before it are given."""
    broken = copy(folder, tmp_path / "broken")
    tar = broken / "all-000003.tar"
    content = bytearray(tar.read_bytes())
    content[int(ShardReader(broken).offsets[22, 0]) + 3] ^= 1
    tar.write_bytes(content)
    stream = ShardStream(ShardReader(broken), seed=5)
    with pytest.raises(UserError, match=r"^shard .*all-000003\.tar is damaged at kaist/22-0: [^\n]*$"):
        list(stream.batches(1, workers=workers))
    assert stream.position == alone(ShardReader(folder), seed=5).index("kaist/22-0") > 0
    assert len(alone(ShardReader(broken, check=False), seed=5)) == ROWS


def test_splits_are_not_mixed(folder, tmp_path):
    manifest = folder.parent / "manifest.csv"
    records = read_manifest(manifest)
    parts = [("train", "val", "test")[i % 3] for i in range(ROWS)]
    lines = [f"{record.id},{part}" for record, part in zip(records, parts, strict=True)]
    (tmp_path / "s.csv").write_text("\n".join(["id,split", *lines]))
    write_shards(manifest, tmp_path / "out", split=tmp_path / "s.csv", size=7, workers=1, progress=False)
    found = alone(ShardReader(tmp_path / "out", "val"))
    assert sorted(found) == sorted(r.id for r, part in zip(records, parts, strict=True) if part == "val")
    for name in (None, "practice"):
        with pytest.raises(UserError, match="choose one of test, train, val"):
            ShardReader(tmp_path / "out", name)


def test_bad_settings(reader):
    for wrong in (dict(rank=2, world_size=2), dict(position=-1), dict(epochs=0), dict(rank=-1)):
        with pytest.raises(UserError, match="no such stream"):
            ShardStream(reader, **wrong)
    with pytest.raises(UserError, match="42 rows, the shards have 43"):
        ShardStream(reader).load_state_dict({"seed": 0, "position": 3, "rows": 42})
