"""What a name's prefix says, in the authors' IR-500K list: source, sequence or scene, frame, day or night.

Written from the names alone; a name of another kind has no source and no sequence, and is not guessed at.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

# kind "sequence": frames of one video. kind "scene": one fixed camera, pictures in order. "": the name does not say.
_PATTERNS = (
    ("KAIST", "sequence", re.compile(r"kaist_(?P<group>set\d+_V\d+)_I?(?P<frame>\d+)", re.IGNORECASE)),
    ("LLVIP", "scene", re.compile(r"LLVIP_(?P<group>\d\d)(?P<frame>\d{4})", re.IGNORECASE)),
    ("VTUAV", "sequence", re.compile(r"DUTUAV_(?P<group>.+_\d+)_(?P<frame>\d+)", re.IGNORECASE)),
    ("DroneVehicle", "", re.compile(r"visdrone_(?P<part>train|val|test)_(?P<frame>\d+)", re.IGNORECASE)),
    ("FLIR", "", re.compile(r"FLIR_(?P<frame>\d+)", re.IGNORECASE)),
    ("MSRS", "", re.compile(r"MSRS_(?P<frame>\d+)(?P<time>[DN])?", re.IGNORECASE)),
    ("AVIID", "", re.compile(r"AVIID\d_(?P<frame>\d+)", re.IGNORECASE)),
)
_NIGHT_SETS = {"set03", "set04", "set05", "set09", "set10", "set11"}  # of KAIST: training and test sets at night


@dataclass(frozen=True)
class Name:
    """What a name says. "" or -1 where it says nothing."""

    name: str
    source: str = ""
    kind: str = ""  # sequence, scene: what `group` is
    group: str = ""  # source/sequence or source/scene: never to be split between training and test
    series: str = ""  # within which `frame` counts: the group, or the source's own part
    frame: int = -1
    time: str = ""  # day, night


def parse_name(name: str) -> Name:
    """Read a name of the authors' list, with or without a suffix and folders before it."""
    stem = PurePosixPath(name).name
    stem = stem[: -len(suffix)] if (suffix := PurePosixPath(stem).suffix) and not suffix[1:].isdigit() else stem
    for source, kind, pattern in _PATTERNS:
        match = pattern.match(stem)
        if match is None:
            continue
        found = match.groupdict(default="")
        group = f"{source}/{found['group']}" if kind else ""
        series = group or "/".join(filter(None, (source, found.get("part", "").lower())))
        return Name(name, source, kind, group, series, int(found["frame"]), _time(source, found))
    return Name(name)


def _time(source: str, found: dict[str, str]) -> str:
    if source == "KAIST":
        return "night" if found["group"].lower()[:5] in _NIGHT_SETS else "day"
    return {"D": "day", "N": "night"}.get(found.get("time", "").upper(), "")
