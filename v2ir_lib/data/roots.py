"""Is this folder the dataset that was asked for? If not, what is it? One line that helps."""

import os
from pathlib import Path

from v2ir_lib.data.archives import is_archive, refuse_archive
from v2ir_lib.data.importers import IMPORTERS
from v2ir_lib.data.layout import Importer, entries, folders
from v2ir_lib.errors import UserError


def importer_of(kind: str) -> Importer:
    """The importer of a kind, whatever the case and the separator (`FLIR_v1`). `UserError` naming all kinds."""
    wanted = kind.lower().replace("_", "-").replace("³", "3")
    if wanted not in IMPORTERS:
        raise UserError(f"no importer is called {kind!r}: choose one of {', '.join(sorted(IMPORTERS))}")
    return IMPORTERS[wanted]


def check_root(root: Path, importer: Importer) -> None:
    """`UserError` where the root is missing, a file, an archive, empty, unreadable, or another dataset's."""
    if not os.path.lexists(root):
        raise UserError(f"no such folder: {root}")
    if root.is_file():
        if is_archive(root):
            refuse_archive(root)
        raise UserError(f"{root} is a file: give the folder that holds {importer.layout}")
    if not root.is_dir():
        raise UserError(f"{root} is a broken link, or no folder: give the folder that holds {importer.layout}")
    if not entries(root):
        raise UserError(f"{root} is empty: give the folder that holds {importer.layout}")
    if importer.looks_like(root):
        other = guess(root) if importer.kind == "infrared" else importer
        if other is None or other.kind in (importer.kind, "lsotb-tir"):
            return
        raise UserError(
            f"{root} holds visible pictures too, it looks like {other.title}: "
            f"try `v2ir data import {other.kind} {root}`, or give its infrared folder"
        )
    raise UserError(f"{root} does not look like {importer.title} ({importer.layout}){_advice(root, importer)}")


def _advice(root: Path, importer: Importer) -> str:
    inside = next((path for path in folders(root)[:20] if guess(path) is importer), None)
    if inside is not None:
        return f"; its sub-folder {inside.name} does: give that one"
    other = guess(root)
    if other is not None:
        return f"; it looks like {other.title}: try `v2ir data import {other.kind} {root}`"
    packed = next((entry.name for entry in entries(root) if entry.is_file() and is_archive(Path(entry.path))), None)
    return f"; it holds {packed}: unpack that first" if packed else ", nor like any other dataset that we know"


def guess(root: Path) -> Importer | None:
    """The most particular importer that a folder looks like, or None."""
    return next((importer for importer in IMPORTERS.values() if importer.looks_like(root)), None)
