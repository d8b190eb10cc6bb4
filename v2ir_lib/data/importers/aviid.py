"""AVIID-1, -2 and -3: aerial pairs, 993 and 1,090 at 434×434, 1,280 at 512×512.

The folders inside each part are not verified: any couple of a visible and an infrared folder is taken, as in `paired`,
and a part without one is an error. The infrared channels differ by up to 10: their mean is read.
"""

import os
import re
from pathlib import Path

from v2ir_lib.data.importers.paired import add_couples, couples
from v2ir_lib.data.layout import Findings, Importer, Options, folders
from v2ir_lib.errors import UserError

PART = re.compile(r"AVIID[-_ ]?([123])", re.IGNORECASE)
PUBLISHED = {"1": 993, "2": 1090, "3": 1280}


def looks_like(root: Path) -> bool:
    """A folder called AVIID-1, -2 or -3; the root may be one."""
    return any(next(couples(folder, depth=2, width=20), None) for folder in _parts(root).values())


def find(root: Path, options: Options) -> Findings:
    """Each part is a dataset of its own; a number of pairs other than the published one is said."""
    found = Findings()
    for part, folder in _parts(root).items():
        before = len(found.rows)
        add_couples(folder, f"aviid-{part}", found)
        count = len(found.rows) - before
        if not count:
            raise UserError(f"{folder} has no visible folder beside an infrared one: see `v2ir data import paired`")
        if count != PUBLISHED[part]:
            found.notes.append(f"AVIID-{part}: {count} pairs, {PUBLISHED[part]} were published")
    return found


def _parts(root: Path) -> dict[str, Path]:
    itself = PART.fullmatch(Path(os.path.abspath(root)).name)
    if itself:
        return {itself[1]: root}
    return {match[1]: path for path in folders(root) if (match := PART.fullmatch(path.name))}


IMPORTER = Importer(
    "aviid",
    "AVIID-1/2/3",
    "AVIID-{1,2,3} with a visible folder beside an infrared one",
    "not stated",
    find,
    looks_like,
)
