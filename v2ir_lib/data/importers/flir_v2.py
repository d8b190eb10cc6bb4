"""FLIR ADAS v2: images_{rgb,thermal}_{train,val}/data, which do not pair, and video_{rgb,thermal}_test/data, which do.

`rgb_to_thermal_vid_map.json` pairs 3,749 video frames. Names are video-ID-frame-NUMBER-HASH. The 16-bit files
(`analyticsData`) are not all of 16 bits: the depth of each is read from the file.
"""

import json
import re
from pathlib import Path

from v2ir_lib.data.layout import Findings, Importer, Options, Row, child, key_of, pictures, stem
from v2ir_lib.errors import UserError

MAP = "rgb_to_thermal_vid_map.json"
NAME = re.compile(r"video-(.+)-frame-(\d+)-.+", re.IGNORECASE)


def looks_like(root: Path) -> bool:
    """Any of its thermal folders."""
    return any(child(root, name) for name in ("images_thermal_train", "images_thermal_val", "video_thermal_test"))


def find(root: Path, options: Options) -> Findings:
    """Training and validation: infrared alone, their visible pictures are left over. Test: pairs, by the map."""
    found = Findings()
    for split in ("train", "val"):
        infrared = _thermal(child(root, f"images_thermal_{split}"), options, found)
        found.rows.extend(_row(split, "", infrared[key]) for key in sorted(infrared))
        visible = pictures(child(child(root, f"images_rgb_{split}"), "data"), "visible", found)
        found.leave("visible", (visible[key] for key in sorted(visible)), f"v2 states no pairs in {split}")
    visible = pictures(child(child(root, "video_rgb_test"), "data"), "visible", found)
    infrared = _thermal(child(root, "video_thermal_test"), options, found)
    if visible or infrared:
        _pair(_read_map(root), visible, infrared, found)
    return found


def _thermal(folder: Path | None, options: Options, found: Findings) -> dict[str, str]:
    data = pictures(child(folder, "data"), "infrared", found)
    return data | pictures(child(folder, "analyticsData"), "infrared", found) if options.raw else data


def _pair(pairs: dict[str, str], visible: dict[str, str], infrared: dict[str, str], found: Findings) -> None:
    by_thermal = {}
    for key, thermal in pairs.items():
        if key not in visible:
            found.leave("visible", [f"{key}.*"], f"in {MAP}, but not there")
        elif thermal in by_thermal:
            found.leave("visible", [visible.pop(key)], f"{MAP} gives its thermal picture to another, too")
        else:
            by_thermal[thermal] = visible.pop(key)
    found.leave("visible", (visible[key] for key in sorted(visible)), f"not in {MAP}")
    missing = sorted(by_thermal.keys() - infrared.keys())
    found.leave("infrared", (f"{key}.*" for key in missing), f"in {MAP}, but not there")
    found.match(by_thermal, infrared, lambda _, visible, infrared: _row("test", visible, infrared))


def _row(split: str, visible: str, infrared: str) -> Row:
    name = stem(infrared)
    match, id = NAME.fullmatch(name), f"flir-v2/{split}/{name}"
    group, frame = (f"flir-v2/{match[1]}", int(match[2])) if match else (id, -1)
    return Row(id, group, visible, infrared, "flir-v2", split, frame)


def _read_map(root: Path) -> dict[str, str]:
    """Key of a visible picture → key of its thermal one."""
    path = root / MAP
    try:
        pairs = json.loads(path.read_text(encoding="utf-8"))
        return {key_of(visible): key_of(thermal) for visible, thermal in pairs.items()}
    except FileNotFoundError:
        raise UserError(f"no {MAP} in {root}: without it the video's pictures cannot be paired, fetch it") from None
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is not a JSON object of names ({error}): fetch it again") from None


IMPORTER = Importer(
    "flir-v2",
    "FLIR ADAS v2",
    "images_{rgb,thermal}_{train,val}/data and video_{rgb,thermal}_test/data",
    "FLIR ADAS terms of use",
    find,
    looks_like,
    takes=("raw",),
)
