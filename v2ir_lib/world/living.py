"""People and animals. Skin 33 °C (28 °C out of doors in winter); clothing and fur between the body and the air."""

import numpy as np

from v2ir_lib.world import meshes
from v2ir_lib.world.parts import Part

SKINS = ((236, 196, 170), (214, 166, 132), (172, 120, 88), (110, 74, 54))
_BEASTS = {  # length, height at the shoulder, girth, colours
    "dog": (0.75, 0.5, 0.15, ((120, 84, 50), (40, 36, 34), (205, 190, 160))),
    "cow": (2.1, 1.35, 0.42, ((90, 56, 36), (228, 224, 216), (40, 36, 36))),
    "deer": (1.4, 1.0, 0.24, ((140, 96, 58), (120, 84, 56))),
    "horse": (2.1, 1.55, 0.36, ((92, 56, 36), (60, 44, 36), (200, 194, 184))),
}


def skin_celsius(air: float) -> float:
    """33 °C in mild air; an uncovered face cools to 28 °C in the frost."""
    return 33.0 if air > 10 else float(np.interp(air, [-5, 10], [28, 32]))


def clothing_celsius(air: float, thick: bool) -> float:
    """Between skin and air: a summer shirt passes about half of the difference, a winter coat a quarter."""
    return air + (0.25 if thick else 0.5) * (33 - air)


def person(thing: dict, air: float, lights_on: bool, seated: bool = False) -> list[Part]:
    """`height` metres, `top` and `trousers` colours; in winter the arms are covered and the coat is thick."""
    rng = np.random.default_rng(thing["seed"])
    scale = thing.get("height", 1.72) / 1.75
    winter = air < 10
    stride = (0.28 if thing.get("moving") else 0.06) * rng.uniform(0.7, 1.2)
    skin = SKINS[rng.integers(len(SKINS))]
    lift = 0.28 if seated else 0.0
    hips, shoulders = 0.9 + lift * 0.3, 1.42 + lift * 0.5
    lean = 0.25 if seated else 0.02
    legs = [meshes.between((s * 0.1, s * stride, 0.06 + lift), (s * 0.09, 0, hips), 0.085, 7) for s in (-1, 1)]
    shoes = [meshes.move(meshes.box(0.11, 0.27, 0.09), (s * 0.1, s * stride + 0.04, lift)) for s in (-1, 1)]
    torso = meshes.move(meshes.ellipsoid(0.215, 0.15, 0.37, 2), (0, lean * 0.4, (hips + shoulders) / 2))

    def hand(s: int) -> tuple[float, float, float]:
        return s * 0.27, (0.42 if seated else -s * stride * 0.8), 0.86 + lift * 0.8

    arms = [meshes.between((s * 0.22, lean, shoulders - 0.04), hand(s), 0.055, 6) for s in (-1, 1)]
    hands = [meshes.move(meshes.ellipsoid(0.055, 0.055, 0.08), hand(s)) for s in (-1, 1)]
    head = meshes.move(meshes.ellipsoid(0.1, 0.115, 0.14, 2), (0, lean + 0.03, shoulders + 0.22))
    hair = meshes.move(meshes.ellipsoid(0.106, 0.115, 0.1, 1), (0, lean - 0.005, shoulders + 0.285))
    neck = meshes.between((0, lean, shoulders - 0.03), (0, lean + 0.02, shoulders + 0.15), 0.05, 6)
    warm, cloth = skin_celsius(air), clothing_celsius(air, winter)
    covered = Part(meshes.join(*arms), "clothing", "person", tuple(thing["top"]), celsius=cloth + 0.5)
    bare = Part(meshes.join(*arms), "skin", "person", skin, celsius=warm - 1.0)
    parts = [
        Part(meshes.join(*legs), "clothing", "person", tuple(thing["trousers"]), celsius=cloth - 0.5),
        Part(meshes.join(*shoes), "clothing", "person", (40, 34, 30), celsius=air + 0.2 * (33 - air)),
        Part(torso, "clothing", "person", tuple(thing["top"]), celsius=cloth + 1.0),
        covered if winter else bare,
        Part(meshes.join(head, neck), "skin", "person", skin, celsius=warm + 0.8),
        Part(hair, "fur", "person", (50, 38, 30), celsius=air + 0.55 * (33 - air)),
    ]
    if not winter:
        parts.append(Part(meshes.join(*hands), "skin", "person", skin, celsius=warm - 2.0))
    return [Part(**{**part.__dict__, "mesh": meshes.move(part.mesh, scale=scale)}) for part in parts]


def animal(thing: dict, air: float, lights_on: bool) -> list[Part]:
    """A dog, cow, deer or horse, about 30 °C at the coat in mild air."""
    length, height, girth, colours = _BEASTS[thing["beast"]]
    rng = np.random.default_rng(thing["seed"])
    colour = colours[rng.integers(len(colours))]
    coat = air + 0.6 * (33 - air) if thing["beast"] != "dog" else air + 0.7 * (34 - air)
    body = meshes.move(meshes.ellipsoid(girth, length / 2, girth * 1.1, 2), (0, 0, height - girth * 0.7))
    swing = rng.uniform(-0.12, 0.12) * height
    legs = [
        meshes.between(
            (sx * girth * 0.6, sy * length * 0.36 + sx * sy * swing, 0),
            (sx * girth * 0.55, sy * length * 0.34, height - girth),
            girth * 0.2,
            6,
        )
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    up = 0.45 if thing["beast"] in ("deer", "horse") else 0.16
    nose = (0, length * 0.66, height + up * height * 0.75)
    neck = meshes.between((0, length * 0.4, height - girth * 0.5), (0, length * 0.56, nose[2]), girth * 0.42, 7)
    head = meshes.move(meshes.ellipsoid(girth * 0.42, girth * 0.8, girth * 0.45, 1), nose)
    tail = meshes.between((0, -length * 0.48, height - girth * 0.5), (0, -length * 0.62, height * 0.55), girth * 0.1, 5)
    return [
        Part(body, "fur", "animal", colour, celsius=coat),
        Part(meshes.join(*legs, tail), "fur", "animal", colour, celsius=coat - 3),
        Part(meshes.join(neck, head), "fur", "animal", colour, celsius=coat + 2),
    ]
