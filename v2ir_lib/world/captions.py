"""A scene in words, and words back into attributes.

"a street at night in winter after rain seen from a car, with two people, a car, a bus and trees"
"""

import re

from v2ir_lib.world import SEASONS, SETTINGS, THINGS, TIMES, VIEWPOINTS, WEATHERS
from v2ir_lib.world.scene import Scene

_SETTING = {
    "street": "a street",
    "campus": "a campus",
    "residential": "a residential road",
    "park": "a park",
    "waterside": "a waterside",
    "parking": "a parking lot",
}
_TIME = {"day": "by day", "dusk": "at dusk", "night": "at night"}
_SEASON = {"summer": "in summer", "winter": "in winter"}
_WEATHER = {"clear": "under a clear sky", "overcast": "under an overcast sky", "fog": "in fog", "rain": "after rain"}
_VIEW = {
    "driving": "seen from a car",
    "surveillance": "seen from a pole",
    "aerial": "seen from above",
    "handheld": "seen by hand",
}
_PLURAL = {
    "person": "people",
    "bus": "buses",
    "car": "cars",
    "truck": "trucks",
    "bicycle": "bicycles",
    "animal": "animals",
}
_COUNT = ("no", "a", "two", "three")  # more: several


def attributes_of_scene(scene: Scene, shown: list[dict]) -> dict:
    """The words of the scene, and how many of each kind of object show (trees: 1 for any)."""
    objects = {}
    for kind in THINGS:
        number = sum(thing["kind"] == kind for thing in shown)
        if number:
            objects[kind] = 1 if kind == "tree" else min(number, 4)
    words = {name: getattr(scene, name) for name in ("time", "weather", "season", "setting", "viewpoint")}
    driven = any(t["kind"] in ("car", "bus", "truck") and t["state"] == "driven" for t in shown)
    return {**words, "objects": objects, "traffic": driven}


def caption_of(attributes: dict) -> str:
    """One English phrase; the same attributes give the same words. Objects in the order of THINGS."""
    words = [_SETTING[attributes["setting"]], _TIME[attributes["time"]], _SEASON[attributes["season"]]]
    words += [_WEATHER[attributes["weather"]], _VIEW[attributes["viewpoint"]]]
    objects = sorted(attributes["objects"].items(), key=lambda item: THINGS.index(item[0]))
    things = [_count(kind, number) for kind, number in objects]
    if attributes.get("traffic"):
        things.append("moving traffic")
    text = " ".join(words)
    if things:
        text += ", with " + (things[0] if len(things) == 1 else ", ".join(things[:-1]) + " and " + things[-1])
    return text


def _count(kind: str, number: int) -> str:
    if kind == "tree":
        return "trees"
    if number == 1:
        return ("an " if kind == "animal" else "a ") + kind
    return f"{_COUNT[number] if number < len(_COUNT) else 'several'} {_PLURAL[kind]}"


def attributes_of(text: str) -> dict:
    """Read the attributes from any wording; what the text does not say is missing (objects: absent)."""
    text = f" {re.sub(r'[^a-z ]', ' ', text.lower())} "
    text = re.sub(r" +", " ", text)
    found: dict = {}
    tables = (
        ("setting", _SETTING, SETTINGS),
        ("time", _TIME, TIMES),
        ("season", _SEASON, SEASONS),
        ("weather", _WEATHER, WEATHERS),
        ("viewpoint", _VIEW, VIEWPOINTS),
    )
    for name, phrases, order in tables:
        for word in order:
            if f" {phrases[word]} " in text:
                found[name] = word
                break
    objects = {}
    for kind in THINGS:
        if kind == "tree":
            if " trees " in text or " tree " in text:
                objects[kind] = 1
            continue
        if f" {_PLURAL[kind]} " in text:
            before = text.split(f" {_PLURAL[kind]} ")[0].split()
            objects[kind] = _COUNT.index(before[-1]) if before and before[-1] in _COUNT[2:] else 4
        elif any(f" {article} {kind} " in text for article in ("a", "an", "one")):
            where = text.replace(" seen from a car ", " ")  # a viewpoint, not an object
            if any(f" {article} {kind} " in where for article in ("a", "an", "one")):
                objects[kind] = 1
    found["objects"] = objects
    found["traffic"] = " moving traffic " in text
    return found
