"""Archives given where a folder belongs: looked at without unpacking anything."""

import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

from v2ir_lib.errors import UserError

MAX_ENTRIES = 50_000
MAX_BYTES = 1 << 39  # 512 GiB unpacked
MAX_RATIO = 200  # photographs hardly shrink; a bomb does
MAX_DIRECTORY = 32 << 20  # bytes of a zip's own list of entries
PACKED = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
TRUST = "do not unpack it unless you trust where it came from, and then into an empty folder"


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by its name or its first bytes."""
    return path.name.lower().endswith(PACKED) or zipfile.is_zipfile(path)


def refuse_archive(path: Path) -> None:
    """Always raises `UserError`: why this archive is not safe to unpack, or else that it has to be unpacked first.

    A zip's list of entries and a plain tar's headers are checked: no entry may leave the folder it is unpacked
    into (`../`, absolute paths), be a link or a device; and not too many entries or bytes. Nothing is written.
    """
    try:
        if zipfile.is_zipfile(path):
            count = _check_zip(path)
        elif path.name.lower().endswith(".tar"):
            count = _check_tar(path)
        else:
            raise UserError(f"{path} is an archive: unpack it first, then give the folder")
    except (OSError, zipfile.BadZipFile, tarfile.TarError, struct.error, ValueError, NotImplementedError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UserError(f"{path} cannot be read as an archive ({reason}): download it again") from None
    raise UserError(f"{path} is an archive of {count} files: unpack it first, then give the folder")


def _check_zip(path: Path) -> int:
    if _directory_size(path) > MAX_DIRECTORY:
        raise UserError(f"{path} has more than {MAX_ENTRIES} entries: {TRUST}")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    names = ((info.orig_filename, stat.S_IFMT(info.external_attr >> 16)) for info in members)
    unpacked, packed = sum(info.file_size for info in members), sum(info.compress_size for info in members)
    _check_entries(path, ((name, kind in (0, stat.S_IFREG, stat.S_IFDIR)) for name, kind in names))
    if unpacked > MAX_BYTES or unpacked > MAX_RATIO * max(packed, 1 << 20):
        raise UserError(f"{path} would grow from {packed} to {unpacked} bytes, no photographs do: {TRUST}")
    return sum(not info.is_dir() for info in members)


def _directory_size(path: Path) -> int:
    """Bytes of a zip's list of entries, before Python makes an object of each: a hostile one can have millions."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - (1 << 16) - 22))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    return struct.unpack_from("<I", tail, at + 12)[0] if at >= 0 else 0


def _check_tar(path: Path) -> int:
    total = files = 0

    def members():
        nonlocal total, files
        with tarfile.open(path, "r:") as archive:
            for info in archive:
                total, files = total + info.size, files + info.isreg()
                archive.members = []  # a plain tar is read on and on; keep none of it
                yield info.name, info.isreg() or info.isdir()

    _check_entries(path, members())
    if total > MAX_BYTES:
        raise UserError(f"{path} would unpack to {total} bytes: {TRUST}")
    return files


def _check_entries(path: Path, members: Iterable[tuple[str, bool]]) -> None:
    """members: name as stored, and whether it is an ordinary file or folder."""
    for count, (name, ordinary) in enumerate(members, 1):
        if count > MAX_ENTRIES:
            raise UserError(f"{path} has more than {MAX_ENTRIES} entries: {TRUST}")
        windows = PureWindowsPath(name)  # knows both slashes, and drives
        if windows.drive or windows.root or ".." in windows.parts:
            raise UserError(f"{path} holds {name!a}, a path that leads out of its folder: {TRUST}")
        if not ordinary:
            raise UserError(f"{path} holds {name!a}, a link or a device and not a file: {TRUST}")
