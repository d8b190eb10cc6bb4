"""A checkpoint's tensors come out of it bit by bit, and nothing in its pickle is ever run."""

import builtins
import os
import pickle
import struct
import subprocess
import zipfile
from collections import OrderedDict

import compvis
import pytest
import torch

from v2ir_lib.diffusion.compvis_unpickle import Checkpoint, Inert
from v2ir_lib.errors import UserError


@pytest.fixture
def state():
    draw = torch.Generator().manual_seed(0)
    base = torch.randn(4, 6, generator=draw)
    return {
        "float": torch.randn(3, 5, generator=draw),
        "half": torch.randn(7, generator=draw).half(),
        "bfloat": torch.randn(2, 3, generator=draw).bfloat16(),
        "whole": torch.arange(5),
        "byte": torch.tensor([1, 2, 3], dtype=torch.uint8),
        "true": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(torch.randn(4, generator=draw)),
        "turned": base.T,
        "part": base[1:3, 2:],  # a view into the storage that `turned` has too
    }


def test_tensors_come_back_bit_by_bit(state, tmp_path):
    found = Checkpoint(compvis.save(compvis.lightning(state), tmp_path / "a.ckpt"))
    assert set(found) == set(state)
    for name, value in state.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value), name


def test_torchs_own_safe_reader_stops_at_this_file(state, tmp_path):
    """Why there is an interpreter of our own; once torch reads such files, it can go."""
    path = compvis.save(compvis.lightning(state), tmp_path / "a.ckpt")
    with pytest.raises(pickle.UnpicklingError, match="pytorch_lightning"):
        torch.load(path, weights_only=True)


def test_a_bare_state_dict(state, tmp_path):
    torch.save(OrderedDict(state), tmp_path / "a.ckpt")
    assert set(Checkpoint(tmp_path / "a.ckpt")) == set(state)


def test_the_file_is_left_as_it_is(state, tmp_path):
    path = compvis.save(compvis.lightning(state), tmp_path / "a.ckpt")
    before = path.read_bytes()
    Checkpoint(path)["float"].zero_()  # mapped for itself alone
    assert path.read_bytes() == before


# --- hostile files -----------------------------------------------------------------------------------------------


class Call:
    """Pickles as a call of `function(*args)`, which is what a pickle can do."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def attacks(mark: str) -> dict:
    """Ways to leave a mark, a file, when the pickle is read."""
    write = f"open({mark!r}, 'w').close()"
    return {
        "os.system": Call(os.system, f"touch {mark}"),
        "builtins.eval": Call(eval, write),
        "builtins.exec": Call(exec, write),
        "builtins.open": Call(open, mark, "w"),
        "builtins.getattr": Call(getattr, Call(__import__, "os"), "system"),
        "subprocess": Call(subprocess.check_call, ["touch", mark]),
        "pathlib's method": Call(__import__("operator").methodcaller("touch"), __import__("pathlib").Path(mark)),
        "inside a state": {"a": [{"b": (Call(os.system, f"touch {mark}"),)}]},
        "as a key": {Call(builtins.eval, write): 1},
        "functools": Call(__import__("functools").partial, os.system, f"touch {mark}"),
        "runpy": Call(__import__("runpy").run_path, mark),
    }


@pytest.mark.parametrize("kind", attacks("x"))
def test_hostile_pickles_are_refused_before_they_run(kind, state, tmp_path):
    mark = tmp_path / "mark"
    torch.save(compvis.lightning(state) | {"hook": attacks(str(mark))[kind]}, tmp_path / "bad.ckpt")
    compvis.forget_foreign()
    with pytest.raises(UserError, match="refused: it asks for") as caught:
        Checkpoint(tmp_path / "bad.ckpt")
    assert not mark.exists() and "\n" not in str(caught.value)


def test_these_pickles_are_hostile_indeed(state, tmp_path):
    """The test above would pass with a harmless file."""
    mark = tmp_path / "mark"
    torch.save({"state_dict": state, "hook": attacks(str(mark))["os.system"]}, tmp_path / "bad.ckpt")
    torch.load(tmp_path / "bad.ckpt", weights_only=False)
    assert mark.exists()


def written(program: bytes, path, numbers: bytes = b""):
    """A checkpoint with a pickle written by hand."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/data/0", numbers)
    return path


def test_a_hand_written_program_that_calls_through_the_permitted_names(tmp_path):
    """torch.hub.load and numpy's loaders are of packages that are read over: inert, and never called."""
    mark = tmp_path / "mark"
    code = f"__import__('os').system('touch {mark}')"
    program = b"\x80\x02}(X\x0a\x00\x00\x00state_dict}X\x01\x00\x00\x00h"
    program += b"cnumpy.testing._private.utils\nrunstring\n(X" + struct.pack("<I", len(code)) + code.encode() + b"}tR"
    program += b"X\x01\x00\x00\x00ictorch.hub\nload\n(X\x01\x00\x00\x00xtRu."
    found = Checkpoint(written(program, tmp_path / "a.ckpt"))
    assert len(found) == 0 and not mark.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x08\x00\x00\x00__call__NsbN0.",  # BUILD on what rebuilds
        b"\x80\x02ctorch\nFloatStorage\n}X\x05\x00\x00\x00dtypeX\x01\x00\x00\x00xsb.",  # BUILD on a storage's type
        b"\x80\x02ccollections\nOrderedDict\n}X\x03\x00\x00\x00getNsb.",  # BUILD on the dict's class
    ],
)
def test_no_pickle_alters_what_reads_it(program, tmp_path):
    with pytest.raises(UserError, match="a checkpoint"):
        Checkpoint(written(program, tmp_path / "a.ckpt"))
    good = {"a": torch.arange(6.0).reshape(2, 3)}
    torch.save(good, tmp_path / "good.ckpt")
    assert torch.equal(Checkpoint(tmp_path / "good.ckpt")["a"], good["a"])
    assert Inert.__slots__ == () and not hasattr(Inert(1, x=2), "__dict__")


def tensor_program(count: int, offset: int, shape: tuple, stride: tuple) -> bytes:
    """{"a": a float tensor of that shape over a storage said to hold `count` numbers}."""

    def whole(n: int) -> bytes:
        return b"J" + struct.pack("<i", n)

    def pair(numbers: tuple) -> bytes:
        return b"(" + b"".join(map(whole, numbers)) + b"t"

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + whole(count) + b"tQ"
    )
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + whole(offset) + pair(shape) + pair(stride)
    return b"\x80\x02}X\x01\x00\x00\x00a" + rebuild + b"\x89ccollections\nOrderedDict\n)RtRs."


def test_the_hand_written_tensor_is_one(tmp_path):
    values = torch.arange(6.0)
    found = Checkpoint(written(tensor_program(6, 1, (2, 2), (3, 1)), tmp_path / "a.ckpt", values.numpy().tobytes()))
    assert found["a"].tolist() == [[1, 2], [4, 5]]


@pytest.mark.parametrize(
    "count, offset, shape, stride",
    [
        (6, 0, (2, 4), (4, 1)),
        (6, 5, (2,), (1,)),
        (6, -1, (2,), (1,)),
        (6, 0, (2, 2), (1000000, 1)),
        (600, 0, (600,), (1,)),
    ],
)
def test_no_tensor_reaches_beyond_its_numbers(count, offset, shape, stride, tmp_path):
    path = written(tensor_program(count, offset, shape, stride), tmp_path / "a.ckpt", bytes(24))
    with pytest.raises(UserError, match="damaged"):
        Checkpoint(path)["a"]


# --- damaged files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_truncated(share, state, tmp_path):
    path = compvis.save(compvis.lightning(state), tmp_path / "a.ckpt")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match="truncated or damaged"):
        Checkpoint(path)


def test_torchs_format_of_before_2020(state, tmp_path):
    torch.save(state, tmp_path / "a.ckpt", _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match=r"before 1\.6"):
        Checkpoint(tmp_path / "a.ckpt")


def test_other_files(tmp_path):
    (tmp_path / "text.ckpt").write_text("hello, this is text")
    (tmp_path / "empty.ckpt").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "zip.ckpt", "w") as archive:
        archive.writestr("readme.txt", "x")
    torch.save([1, 2], tmp_path / "list.ckpt")
    for name in ("text", "empty", "zip", "list"):
        with pytest.raises(UserError, match="is not a checkpoint"):
            Checkpoint(tmp_path / f"{name}.ckpt")
    with pytest.raises(UserError, match="no such file"):
        Checkpoint(tmp_path / "none.ckpt")


def test_compressed_numbers_are_not_mapped(state, tmp_path):
    """They would be read as weights."""
    torch.save(state, tmp_path / "a.ckpt")
    with zipfile.ZipFile(tmp_path / "a.ckpt") as source, zipfile.ZipFile(tmp_path / "b.ckpt", "w") as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name), zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="damaged"):
        Checkpoint(tmp_path / "b.ckpt")["float"]
