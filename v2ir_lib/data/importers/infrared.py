"""A plain infrared-only folder: Raytron's pictures, HIT-UAV, own images; sub-folders too.

A sub-folder is a group; a picture in the root is a group of its own.
"""

import os
from pathlib import Path

from v2ir_lib.data.layout import (
    SPLITS,
    Findings,
    Importer,
    Options,
    Row,
    entries,
    folders,
    is_picture,
    number,
    pictures,
    stem,
)


def looks_like(root: Path) -> bool:
    """A picture in the root, or in one of its first sub-folders, at most three folders down."""
    level = [root]
    for _ in range(4):
        if any(is_picture(entry.name) for place in level for entry in entries(place)[:50]):
            return True
        level = [path for place in level for path in folders(place)][:20]
    return False


def find(root: Path, options: Options) -> Findings:
    """The dataset is called like the root folder."""
    found = Findings()
    dataset = Path(os.path.abspath(root)).name or "infrared"
    paths = pictures(root, "infrared", found, below=True)
    top = len(str(root).rstrip(os.sep)) + 1
    for key in sorted(paths):
        path = paths[key]
        parts = path[top:].split(os.sep)[:-1]
        split = next((SPLITS[part.lower()] for part in parts if part.lower() in SPLITS), "")
        scene = [part for part in parts if part.lower() not in SPLITS]
        id = "/".join((dataset, *parts, stem(path)))
        group = "/".join((dataset, *scene)) if scene else id
        found.rows.append(Row(id, group, "", path, dataset, split, number(stem(path))))
    return found


IMPORTER = Importer(
    "infrared", "a plain infrared-only folder", "pictures, sub-folders too", "", find, looks_like, band=""
)
