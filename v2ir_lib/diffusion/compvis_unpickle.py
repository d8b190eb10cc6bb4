"""The tensors of a training checkpoint (.ckpt), without running anything that the file asks for.

A .ckpt is a zip: a pickle, which is a program, and one file of raw numbers for each tensor. Besides tensors, Lightning
leaves callbacks and settings in the pickle, objects of classes that are not installed here, at which torch's own safe
reader stops. So the pickle is read by an interpreter of our own, which knows four kinds of names:

    tensors, dict and list        → rebuilt, a tensor as a note of where its numbers lie
    what training leaves behind   → an inert object, which takes whatever it is given and keeps nothing
    plain Python types            → inert too
    everything else               → the file is refused, before anything has been called

No name is ever imported. Numbers are mapped from the file, not read: optimiser states, which are most of a training
checkpoint, cost nothing.
"""

import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch

from v2ir_lib.errors import UserError

PROGRAM_LIMIT = 2**28  # bytes of the pickle; a real one has a few million
STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# Packages whose objects a training run leaves in its checkpoint, and plain types: read over, never imported.
LEFT_BEHIND = {
    "pytorch_lightning",
    "lightning",
    "lightning_fabric",
    "omegaconf",
    "torch",
    "torchmetrics",
    "numpy",
    "ldm",
}
PLAIN = {"dict", "list", "set", "frozenset", "tuple", "int", "float", "complex", "bool", "str", "bytes", "bytearray"}
PLAIN_TYPES = {
    (module, name) for module in ("builtins", "__builtin__") for name in (*PLAIN, "object", "slice", "range")
}
PLAIN_TYPES |= {("collections", "defaultdict"), ("collections", "deque"), ("collections", "Counter")}
PLAIN_TYPES |= {("copyreg", "_reconstructor"), ("copy_reg", "_reconstructor"), ("typing", "Any")}
PLAIN_TYPES |= {("pathlib", name) for name in ("Path", "PosixPath", "WindowsPath")} | {("argparse", "Namespace")}
PLAIN_TYPES |= {("datetime", name) for name in ("datetime", "timedelta", "date")} | {("_codecs", "encode")}


class Inert:
    """Stands for an object that is not wanted: takes every call and every item, does and keeps nothing."""

    __slots__ = ()

    def __new__(cls, *_, **__):
        return super().__new__(cls)

    def _nothing(*_, **__):
        return None

    __init__ = __setstate__ = __setitem__ = append = extend = add = update = _nothing  # what a pickle may call

    def __call__(self, *_, **__):
        return self


class _Dict(dict):
    """An OrderedDict in the file; a state dict's also has attributes (`_metadata`), which are not kept."""

    __slots__ = ()

    def __setstate__(self, _state):
        pass


class StorageType(NamedTuple):
    """What a pickle calls torch.FloatStorage."""

    dtype: torch.dtype


class Storage(NamedTuple):
    """A file of raw numbers in the zip."""

    dtype: torch.dtype
    key: str
    count: int


class TensorNote(NamedTuple):
    """Where a tensor's numbers lie; nothing is read yet."""

    storage: Storage
    offset: int  # in numbers, as are the strides
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Rebuild:
    """torch._utils._rebuild_tensor_v2, as a note. An object without attributes, so that no pickle can alter it."""

    __slots__ = ()

    def __setstate__(self, _state):
        pass

    def __call__(self, storage, offset, shape, stride, *_unused):
        if isinstance(storage, Inert):  # numbers of a kind that no weight has
            return storage
        numbers = (offset, *shape, *stride)
        if not isinstance(storage, Storage) or any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError("a tensor that is none")
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        if prod(shape) and last >= storage.count:
            raise ValueError(f"a tensor of shape {list(shape)} that reaches beyond its storage")
        return TensorNote(storage, offset, tuple(shape), tuple(stride))


class _Parameter:
    """torch._utils._rebuild_parameter: the tensor in it."""

    __slots__ = ()

    def __setstate__(self, _state):
        pass

    def __call__(self, data, *_unused):
        return data


class Refused(UserError):
    """The pickle asks for a name that has no business in a checkpoint."""


class _Interpreter(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) in (("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor")):
            return _Rebuild()
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _Parameter()
        if module == "torch" and name in STORAGES:
            return StorageType(STORAGES[name])
        if (module, name) == ("collections", "OrderedDict"):
            return _Dict
        if (module, name) in PLAIN_TYPES or module.split(".")[0] in LEFT_BEHIND:
            return Inert
        raise Refused(f"it asks for {module}.{name}")

    def persistent_load(self, pid):
        kind, storage_type, key, _device, count = pid
        if kind != "storage" or type(key) is not str or type(count) is not int or count < 0:
            raise ValueError("a storage that is none")
        if not isinstance(storage_type, StorageType):
            return Inert()
        return Storage(storage_type.dtype, key, count)


class Checkpoint(Mapping[str, torch.Tensor]):
    """The named tensors of a checkpoint's state dict, read-only; each is mapped from the file when it is asked for.

    Raises `UserError`, one line, for a file that is missing, truncated, in torch's format of before 2020, not a
    checkpoint, or that asks for anything a checkpoint has no need of.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._check_kind()
        try:
            with zipfile.ZipFile(self.path) as archive:
                self._records = {info.filename: info for info in archive.infolist()}
                program = self._program()
                self._check_order(archive, program)
                with archive.open(program) as file:
                    found = _Interpreter(file).load()
        except Refused as error:
            raise UserError(f"{self.path} is refused: {error}, which could run code; nothing of it was run") from None
        except zipfile.BadZipFile:
            raise UserError(f"{self.path} is truncated or damaged: fetch it again") from None
        except UserError:
            raise
        except Exception as error:  # whatever a damaged program ends in
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise UserError(f"{self.path} is damaged, or not a checkpoint ({reason})") from None
        self._folder = program.filename.removesuffix("data.pkl")
        self._notes = self._state_dict(found)
        self._numbers = torch.UntypedStorage.from_file(str(self.path), False, self.path.stat().st_size)

    def __iter__(self) -> Iterator[str]:
        return iter(self._notes)

    def __len__(self) -> int:
        return len(self._notes)

    def __getitem__(self, name: str) -> torch.Tensor:
        storage, offset, shape, stride = self._notes[name]
        start, size = self._place(storage)
        flat = torch.empty(0, dtype=torch.uint8).set_(self._numbers, start, (size,))
        if start % storage.dtype.itemsize:
            flat = flat.clone()  # not aligned: cannot be looked at as numbers where it lies
        flat = flat.view(storage.dtype)
        return torch.as_strided(flat, shape, stride, flat.storage_offset() + offset)

    def _check_kind(self) -> None:
        if not self.path.is_file():
            raise UserError(f"no such file: {self.path}")
        with open(self.path, "rb") as file:
            first = file.read(4)
        if first[:1] == b"\x80":
            raise UserError(
                f"{self.path} is a bare pickle, the format of torch before 1.6, which is not read: "
                "ask for a file in today's format, or for safetensors"
            )
        if first[:2] != b"PK":
            raise UserError(f"{self.path} is not a checkpoint: neither torch's zip format nor safetensors")

    def _program(self) -> zipfile.ZipInfo:
        programs = [info for name, info in self._records.items() if name.split("/")[-1] == "data.pkl"]
        if len(programs) != 1:
            raise UserError(f"{self.path} is not a checkpoint: a zip file, but not one that torch wrote")
        if programs[0].file_size > PROGRAM_LIMIT:
            raise UserError(f"{self.path} is refused: its pickle has {programs[0].file_size} bytes")
        return programs[0]

    def _check_order(self, archive: zipfile.ZipFile, program: zipfile.ZipInfo) -> None:
        record = program.filename.removesuffix("data.pkl") + "byteorder"
        if record in self._records and archive.read(record).strip() != b"little":
            raise UserError(f"{self.path} was written on a big-endian machine, which is not read")

    def _state_dict(self, found) -> dict[str, TensorNote]:
        """Lightning keeps it under "state_dict"; other files are nothing else."""
        if isinstance(found, dict) and isinstance(dict.get(found, "state_dict"), dict):
            found = dict.get(found, "state_dict")
        if not isinstance(found, dict):
            raise UserError(f"{self.path} is not a checkpoint: it holds no state dict")
        return {name: note for name, note in dict.items(found) if type(name) is str and isinstance(note, TensorNote)}

    def _place(self, storage: Storage) -> tuple[int, int]:
        """(first byte in the file, bytes) of a storage's numbers; `UserError` where they are not all there."""
        info = self._records.get(f"{self._folder}data/{storage.key}")
        size = storage.count * storage.dtype.itemsize
        if info is None or info.compress_type != zipfile.ZIP_STORED or info.file_size < size:
            raise UserError(f"{self.path} is damaged: the numbers of tensor storage {storage.key} are not all there")
        with open(self.path, "rb") as file:  # the name's length may differ here from the zip's own table
            file.seek(info.header_offset)
            header = file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise UserError(f"{self.path} is damaged: tensor storage {storage.key} is not where the zip file says")
        start = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
        if start + size > self.path.stat().st_size:
            raise UserError(f"{self.path} is truncated: tensor storage {storage.key} goes beyond its end")
        return start, size
