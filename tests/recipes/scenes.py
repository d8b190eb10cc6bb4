"""Fake scenes: coloured rectangles and discs on a ground, with the fields of a pack that captions and regions need."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np

KINDS = {"person": (220, 120, 90), "car": (60, 60, 200), "bus": (220, 200, 40), "animal": (120, 80, 40)}
GROUNDS = {"street": (110, 110, 115), "park": (60, 140, 60), "waterside": (60, 110, 170)}
STUFF = ("sky", *GROUNDS)
CLASS_NAMES = (*STUFF, *KINDS)


def fake_pack(count: int, seed: int = 0, size: int = 192, name: str = "fake") -> SimpleNamespace:
    """`count` scenes: a sky over one of three grounds by day or night, and up to six objects of four kinds."""
    rng = np.random.default_rng(seed)
    visible = np.zeros((count, size, size, 3), np.uint8)
    instances, classes = np.zeros((2, count, size, size), np.uint8)
    captions, specs = [], []
    rows, columns = np.mgrid[:size, :size]
    for i in range(count):
        setting = str(rng.choice(list(GROUNDS)))
        time = str(rng.choice(["day", "night"]))
        horizon = int(size * rng.uniform(0.2, 0.5))
        image = np.where((rows < horizon)[..., None], (150, 190, 230), GROUNDS[setting]).astype(float)
        classes[i] = np.where(rows < horizon, 0, 1 + list(GROUNDS).index(setting))
        image += rng.normal(0, 12, (size // 8, size // 8, 3)).repeat(8, 0).repeat(8, 1)
        objects = {}
        for number in range(1, int(rng.integers(1, 7)) + 1):
            kind = str(rng.choice(list(KINDS)))
            y, x = rng.uniform(horizon, size), rng.uniform(0, size)
            half = size * rng.uniform(0.02, 0.1)
            tall = {"person": 1.6, "car": 0.6, "bus": 0.8, "animal": 0.6}[kind]
            if kind in ("person", "animal"):
                inside = ((rows - y) / tall) ** 2 + (columns - x) ** 2 < half**2
            else:
                inside = (abs(rows - y) < half * tall) & (abs(columns - x) < half)
            image[inside] = KINDS[kind] + rng.normal(0, 15, 3)
            instances[i][inside], classes[i][inside] = number, CLASS_NAMES.index(kind)
            objects[kind] = objects.get(kind, 0) + 1
        if time == "night":
            image = image * 0.3
        visible[i] = np.clip(image + rng.normal(0, 4, image.shape), 0, 255)
        things = ", ".join(f"{('a', 'two', 'three')[min(n, 3) - 1]} {kind}" for kind, n in sorted(objects.items()))
        captions.append(f"a {setting} at {time}, with {things}")
        specs.append({"attributes": {"time": time, "setting": setting, "objects": objects}})
    return SimpleNamespace(
        name=name, visible=visible, instances=instances, classes=classes, captions=captions, specs=specs
    )


def attributes_of(text: str) -> dict:
    """The attributes read back from a fake caption."""
    words = text.replace(",", " ").split()
    attributes = {"objects": {}}
    for word in words:
        if word in ("day", "night"):
            attributes["time"] = word
        if word in GROUNDS:
            attributes["setting"] = word
    for before, word in pairwise(words):
        if word in KINDS:
            attributes["objects"][word] = {"a": 1, "two": 2, "three": 3}.get(before, 1)
    return attributes
