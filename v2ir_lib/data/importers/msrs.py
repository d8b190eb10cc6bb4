"""MSRS: {train,test}/{vi,ir}/NNNNN{D,N}.png, 640×480, the pairs of MFNet aligned; D is day, N night.

The infrared pictures are very dark, mean grey about 20. Ids are those of MFNet, so the two must never be on two sides
of a split. No sequences are stated; numbers follow time.
"""

import re
from pathlib import Path

from v2ir_lib.data.layout import Findings, Importer, Options, Row, any_named, child, pictures

NAME = re.compile(r"(\d+)([dn])")
TIME = {"d": "day", "n": "night"}


def looks_like(root: Path) -> bool:
    """train or test with vi and ir, and names that end in D or N."""
    return any(
        child(child(root, split), "vi")
        and (infrared := child(child(root, split), "ir"))
        and any_named(infrared, r"\d+[DN]\.\w+")
        for split in ("train", "test")
    )


def find(root: Path, options: Options) -> Findings:
    """Day or night from the name."""
    found = Findings()
    for split in ("train", "test"):
        visible = pictures(child(child(root, split), "vi"), "visible", found)
        infrared = pictures(child(child(root, split), "ir"), "infrared", found)

        def make(key: str, visible: str, infrared: str, split: str = split) -> Row:
            id, match = f"msrs/{key.upper()}", NAME.fullmatch(key)
            frame, time = (int(match[1]), TIME[match[2]]) if match else (-1, "")
            return Row(id, id, visible, infrared, "msrs", split, frame, time)

        found.match(visible, infrared, make)
    return found


IMPORTER = Importer("msrs", "MSRS", "{train,test}/{vi,ir}/NNNNN{D,N}.png", "none stated", find, looks_like)
