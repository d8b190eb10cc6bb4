"""The authors' own IR-500K folder: {rgb,ir,seg}/NAME and seeds.json, [[NAME], …], the list that their loader splits.

The prefix of a name gives its source and sequence; groups are called as the source's own importer calls them, so one
sequence is one group wherever it comes from. The split is by position, 90, 5 and 5 %, as released. It leaks: see
`v2ir data split --check`.
"""

import json
import math
import re
from collections import Counter
from pathlib import Path

from v2ir_lib.data.importers import aviid, dronevehicle, flir_v1, kaist, llvip, msrs, vtuav
from v2ir_lib.data.layout import Findings, Importer, Options, Row, child, key_of, pictures, stem
from v2ir_lib.data.sources import parse_name
from v2ir_lib.errors import UserError

LIST = "seeds.json"
SHARES = (("train", 0.9), ("val", 0.9 + 0.05), ("test", 1.0))  # as their loader adds them
LICENCES = {
    "KAIST": kaist.IMPORTER.licence,
    "LLVIP": llvip.IMPORTER.licence,
    "VTUAV": vtuav.IMPORTER.licence,
    "DroneVehicle": dronevehicle.IMPORTER.licence,
    "FLIR": flir_v1.IMPORTER.licence,
    "MSRS": msrs.IMPORTER.licence,
    "AVIID": aviid.IMPORTER.licence,
}


def looks_like(root: Path) -> bool:
    """rgb and ir, with the list or with segment maps beside them."""
    return bool(child(root, "rgb") and child(root, "ir") and ((root / LIST).is_file() or child(root, "seg")))


def find(root: Path, options: Options) -> Findings:
    """Rows in no list have no split; names in the list without pictures are left over."""
    found = Findings()
    visible = pictures(child(root, "rgb"), "visible", found)
    infrared = pictures(child(root, "ir"), "infrared", found)
    splits = _splits(root / LIST)
    found.match(visible, infrared, lambda key, visible, infrared: _row(visible, infrared, splits.get(key, "")))
    absent = sorted(splits.keys() - (visible.keys() | infrared.keys()))
    found.leave("visible", (f"rgb/{key}.*" for key in absent), f"in {LIST}, but not there")
    pairs = visible.keys() & infrared.keys()
    segments = pictures(child(root, "seg"), "segments", Findings())
    found.notes.extend(
        f"{count} pairs {what}"
        for count, what in (
            (len(pairs - splits.keys()), f"are not in {LIST}: no split"),
            (len(pairs - segments.keys()), "have no segment map in seg"),
            (
                Counter(row.dataset for row in found.rows)["ir-500k"],
                "have a prefix we do not know: no source, no group",
            ),
        )
        if count
    )
    return found


def _row(visible: str, infrared: str, split: str) -> Row:
    name = stem(infrared)
    known, id = parse_name(name), f"ir-500k/{name}"
    if not known.source:
        return Row(id, id, visible, infrared, "ir-500k", split)
    number = re.match(r"AVIID(\d)_", name, re.IGNORECASE)
    dataset = f"aviid-{number[1]}" if number else known.source.lower()
    group = id
    if known.group:
        sequence = known.group.split("/", 1)[1]
        group = f"{dataset}/{sequence.replace('_', '/') if dataset == 'kaist' else sequence}"
    crop = dronevehicle.CROP if dataset == "dronevehicle" else ""
    return Row(id, group, visible, infrared, dataset, split, known.frame, known.time, crop, LICENCES[known.source])


def _splits(path: Path) -> dict[str, str]:
    """Key of a name → train, val or test, by its position in the list. No list, no splits."""
    if not path.is_file():
        return {}
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        keys = [_listed_key(entry) for entry in listed[:]]  # no list, no slice
    except (OSError, ValueError, TypeError, IndexError, AttributeError):
        raise UserError(f"{path} is not a JSON list of [name]: fetch it again") from None
    splits, start = {}, 0
    for split, share in SHARES:
        end = math.floor(share * len(keys))
        splits.update(dict.fromkeys(keys[start:end], split))
        start = end
    return splits


def _listed_key(entry: list | str) -> str:
    name = (entry if isinstance(entry, str) else entry[0]).rpartition("/")[2]
    return key_of(name if "." in name else name + ".")


IMPORTER = Importer(
    "ir-500k", "the authors' IR-500K", "{rgb,ir,seg}/NAME and seeds.json", "per source", find, looks_like
)
