"""Writing files so that nothing is ever half-written, and knowing where things live."""

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from v2ir_lib.errors import UserError

LINE = 120  # characters of a line of JSON
_EXPLAINED = {
    errno.ENOSPC: "the disk is full; free some space, or choose another output",
    errno.EDQUOT: "the disk quota is used up; free some space, or choose another output",
    errno.EACCES: "permission denied; choose an output that you may write to",
    errno.EPERM: "permission denied; choose an output that you may write to",
    errno.EROFS: "the file system is read-only; choose another output",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another output",
    errno.EEXIST: "a part of the path is a file, not a folder; choose another output",  # as `mkdir` says it
    errno.EISDIR: "there is a folder of that name; choose another output",
}


def repo_root() -> Path:
    """The folder that holds `v2ir_lib/`, and with it `models/`, `data_samples/` and `results/`."""
    return Path(__file__).resolve().parent.parent


def cache_dir() -> Path:
    """Where everything lives that can be made again from seeds: `$V2IR_CACHE`, or `.cache/v2ir` in the repository."""
    return Path(os.environ.get("V2IR_CACHE") or repo_root() / ".cache" / "v2ir")


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary sibling of `path` (same suffix), renamed to `path` on success and removed on failure.

    The body may write a file or make a folder there; a folder replaces an older one whole. The rename is atomic for
    files, and a reader never sees a half-written one. A full disk, a missing permission or a path that leads through a
    file becomes a `UserError`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except Exception as error:
        number = _errno(error)
        if number in _EXPLAINED:
            raise UserError(f"cannot write {path}: {_EXPLAINED[number]}") from error
        raise
    finally:
        with suppress(OSError):  # a path that cannot be written to cannot be tidied either: the first error is told
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)


def _errno(error: Exception) -> int | None:
    """The operating system's number of an error; safetensors and tokenizers have it in an exception of their own."""
    if isinstance(error, OSError):
        return error.errno
    told = re.search(r"\(os error (\d+)\)", str(error))
    return int(told[1]) if told else None


def write_json(path: str | os.PathLike, value: object) -> None:
    """Write `value` as JSON, atomically: what fits on a line has one, the rest is indented.

    NaN is refused (`ValueError`): it is not JSON.
    """
    plain = json.loads(json.dumps(value, allow_nan=False))  # tuples are lists, keys are words
    with atomic_path(path) as temporary:
        temporary.write_text(_laid_out(plain) + "\n", encoding="utf-8")


def _laid_out(value: object, indent: int = 0, before: int = 0) -> str:
    """JSON of `value`, whose line has `before` characters more; with one entry a line where it is too long for one."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or indent + before + len(line) < LINE:
        return line
    names = [f"{json.dumps(name, ensure_ascii=False)}: " for name in value] if isinstance(value, dict) else None
    entries = list(value.values()) if isinstance(value, dict) else value
    inner = indent + 1
    lines = [
        " " * inner + name + _laid_out(entry, inner, len(name))
        for name, entry in zip(names or [""] * len(entries), entries, strict=True)
    ]
    opening, closing = "{}" if names else "[]"
    return "\n".join((opening, ",\n".join(lines), " " * indent + closing))


def sha256(path: str | os.PathLike) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
