"""A plain paired folder: own images, or a dataset that has no importer of its own.

Visible pictures in a folder called visible, vi, vis or rgb, infrared ones beside it in infrared, ir, lwir or thermal,
in the root or further down. A folder called train, val or test on the way is the split; any other is the group.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from v2ir_lib.data.layout import (
    INFRARED_FOLDERS,
    SPLITS,
    VISIBLE_FOLDERS,
    Findings,
    Importer,
    Options,
    Row,
    folders,
    number,
    pictures,
    stem,
)
from v2ir_lib.errors import UserError

DEPTH = 4  # folders between the root and a visible/infrared couple


def looks_like(root: Path) -> bool:
    """A couple in the root, or one or two folders down."""
    return next(couples(root, depth=2, width=20), None) is not None


def find(root: Path, options: Options) -> Findings:
    """The dataset is called like the root folder."""
    found = Findings()
    add_couples(root, Path(os.path.abspath(root)).name or "paired", found)
    return found


def couples(root: Path, depth: int = DEPTH, width: int | None = None) -> Iterator[tuple[list[str], Path, Path]]:
    """The names of the folders on the way, visible folder, infrared folder; at most `width` folders of each level.

    `UserError` where one side has two folders: no guess is made as to which is meant.
    """
    waiting: list[tuple[list[str], Path]] = [([], root)]
    while waiting:
        way, place = waiting.pop(0)
        below = folders(place)
        visible = _only([path for path in below if path.name.casefold() in VISIBLE_FOLDERS], place)
        infrared = _only([path for path in below if path.name.casefold() in INFRARED_FOLDERS], place)
        if visible and infrared:
            yield way, visible, infrared
        elif len(way) < depth:
            waiting.extend(([*way, path.name], path) for path in below[:width])


def _only(there: list[Path], place: Path) -> Path | None:
    if len(there) > 1:
        names = " and ".join(path.name for path in there)
        raise UserError(
            f"{place} has {names}: which one is meant? Leave one of them there, or give a folder that has one"
        )
    return there[0] if there else None


def add_couples(root: Path, dataset: str, found: Findings) -> None:
    """Add the pairs of all couples below the root; rows without a sub-folder are groups of their own."""
    for way, visible_folder, infrared_folder in couples(root):
        visible = pictures(visible_folder, "visible", found, below=True)
        infrared = pictures(infrared_folder, "infrared", found, below=True)

        def make(key: str, visible: str, infrared: str, way=way, folder=infrared_folder) -> Row:
            inside = Path(infrared).relative_to(folder).parts[:-1]
            parts = [*way, *inside]
            split = next((SPLITS[part.lower()] for part in parts if part.lower() in SPLITS), "")
            scene = [part for part in parts if part.lower() not in SPLITS]
            id = "/".join((dataset, *parts, stem(infrared)))
            group = "/".join((dataset, *scene)) if scene else id
            return Row(id, group, visible, infrared, dataset, split, number(stem(infrared)))

        found.match(visible, infrared, make)


IMPORTER = Importer(
    "paired",
    "a plain paired folder",
    "{visible|vi|vis|rgb}/NAME.* and {infrared|ir|lwir|thermal}/NAME.*",
    "",
    find,
    looks_like,
    band="",
)
