"""What every importer is made of: listing folders, matching names, and noting what was found and what was left over.

Half a million files must fit: folders are read with `os.scandir`, and a file is its path and nothing more.
"""

import errno
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from v2ir_lib.errors import UserError

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"))
VISIBLE_FOLDERS = ("visible", "vi", "vis", "rgb")
INFRARED_FOLDERS = ("infrared", "ir", "lwir", "thermal")
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class Row(NamedTuple):
    """A pair, or an infrared picture alone (`visible` is ""), as found by name; the files have not been opened yet.

    Where no scene or sequence is known the group is the id: the row stands alone until a split clusters it.
    """

    id: str
    group: str
    visible: str
    infrared: str
    dataset: str
    split: str = ""
    frame: int = -1
    time: str = ""
    crop: str = ""  # holds only where the files have exactly this frame around them
    licence: str = ""  # in place of the importer's own


class Leftover(NamedTuple):
    """A file that is in no row, and why."""

    side: str  # visible or infrared
    path: str
    reason: str


@dataclass
class Findings:
    """What an importer found below its root."""

    rows: list[Row] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # one line each, shown with the summary
    skipped: int = 0  # frames left out on request (`stride`)

    def match(self, visible: dict[str, str], infrared: dict[str, str], make: Callable[[str, str, str], Row]) -> None:
        """Add `make(key, visible, infrared)` for each key on both sides, in order; the others are left over."""
        for key in sorted(visible.keys() & infrared.keys()):
            self.rows.append(make(key, visible[key], infrared[key]))
        self.leave("visible", (visible[key] for key in sorted(visible.keys() - infrared.keys())), "no infrared picture")
        self.leave("infrared", (infrared[key] for key in sorted(infrared.keys() - visible.keys())), "no visible one")

    def leave(self, side: str, paths, reason: str) -> None:
        """Note files that are in no row."""
        self.leftovers.extend(Leftover(side, path, reason) for path in paths)


@dataclass(frozen=True)
class Options:
    """What a person may choose at import, beyond the kind and the root."""

    stride: int = 1  # every n-th frame of each sequence, where the dataset is video
    raw: bool = False  # the camera's 14- or 16-bit files, where the dataset has 8-bit ones beside them


@dataclass(frozen=True)
class Importer:
    """One dataset: how to know it, and how to find its rows."""

    kind: str
    title: str
    layout: str  # one line, for messages
    licence: str
    find: Callable[[Path, Options], Findings]
    looks_like: Callable[[Path], bool]  # cheap: a few folders, never all files
    band: str = "lwir"
    takes: tuple[str, ...] = ()  # the names of the options that mean something here


def entries(folder: str | os.PathLike) -> list[os.DirEntry]:
    """What a folder holds, by name; hidden entries left out. `UserError` where it may not be read or is gone."""
    try:
        with os.scandir(folder) as found:
            return sorted((entry for entry in found if entry.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        reason = {errno.EACCES: "permission denied", errno.ENOENT: "no such folder"}.get(error.errno, error.strerror)
        raise UserError(f"cannot read the folder {os.fspath(folder)}: {reason}") from None


def folders(folder: str | os.PathLike) -> list[Path]:
    """The sub-folders of a folder, by name; links to folders count."""
    return [Path(entry.path) for entry in entries(folder) if entry.is_dir()]


def child(folder: Path | None, *names: str) -> Path | None:
    """The sub-folder of one of these names, whatever its case; None where there is none.

    `UserError` where two folders differ only in case: the pictures of one would be left out without a word.
    """
    if folder is None:
        return None
    there = folders(folder)
    for name in names:
        same = [path for path in there if path.name.casefold() == name.casefold()]
        if len(same) > 1:
            raise UserError(f"{folder} has {' and '.join(path.name for path in same)}: put them into one folder")
        if same:
            return same[0]
    return None


def key_of(name: str) -> str:
    """By what a file is matched: its name without suffix, whatever the case and the way accents are stored."""
    stem = name.rpartition(".")[0] or name
    return stem.lower() if stem.isascii() else unicodedata.normalize("NFC", stem).casefold()


def is_picture(name: str) -> bool:
    """Whether a file is called a picture; hidden files are not."""
    return name[0] != "." and os.path.splitext(name)[1].lower() in SUFFIXES


def pictures(
    folder: Path | None, side: str, findings: Findings, *, below: bool = False, key: Callable[[str], str] = key_of
) -> dict[str, str]:
    """Key → absolute path of the pictures in a folder, with `below` in its sub-folders too ("sub/key").

    A second picture of the same key, and a name that is no text, are left over. No folder, no pictures.
    """
    found: dict[str, str] = {}
    for prefix, name, path in _walk(folder, below) if folder is not None else ():
        if not _is_text(path):
            findings.leave(side, [path.encode(errors="surrogateescape").decode(errors="replace")], "name is not UTF-8")
            continue
        name_key = prefix + key(name)
        first = found.setdefault(name_key, path)
        if first is not path:
            findings.leave(side, [path], f"same name as {os.path.basename(first)}")
    return found


def _walk(folder: Path, below: bool) -> Iterator[tuple[str, str, str]]:
    waiting = [(str(folder), "")]
    while waiting:
        place, prefix = waiting.pop()
        for entry in entries(place):
            if is_picture(entry.name) and not entry.is_dir():
                yield prefix, entry.name, entry.path
            elif below and entry.is_dir(follow_symlinks=False):  # a link to a folder could lead round in a circle
                waiting.append((entry.path, f"{prefix}{key_of(entry.name + '.')}/"))


def _is_text(name: str) -> bool:
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def stem(path: str) -> str:
    """A file's name as written, without its suffix."""
    return os.path.splitext(os.path.basename(path))[0]


def number(text: str) -> int:
    """The last run of digits in a name, or -1."""
    digits = re.findall(r"[0-9]+", text)
    return int(digits[-1]) if digits and len(digits[-1]) <= 12 else -1


def natural(text: str) -> list:
    """A sorting key under which frame 10 comes after frame 9."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"([0-9]+)", text)]


def any_named(folder: Path, pattern: str, limit: int = 50) -> bool:
    """Whether one of the first files of a folder has a name that the pattern matches whole, whatever the case."""
    rule = re.compile(pattern, re.IGNORECASE)
    with os.scandir(folder) as found:
        return any(rule.fullmatch(entry.name) for entry, _ in zip(found, range(limit), strict=False))
