"""Six kinds of place: where the road, the grass and the water lie, and where buildings, lamps, cars and people belong.

Metres; the camera stands near y = 0 and looks along +y. Yaw 0 faces +y, and turns anticlockwise seen from above.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Spots = Callable[[np.random.Generator], tuple[float, float, float]]


@dataclass
class Plan:
    """One place. `regions` are painted in order, each (material, class, shape, *numbers): a strip, an ellipse, …"""

    setting: str
    regions: list[tuple]
    lane: float  # x of the lane that a driving camera uses
    walk_side: float  # x of a pavement
    walk: Spots
    green: Spots
    drive: Spots | None = None
    park: Spots | None = None
    parked: float = 0.0  # expected number of parked cars
    trees: tuple[int, int] = (2, 7)
    buildings: list[dict] = field(default_factory=list)
    lamps: list[tuple] = field(default_factory=list)
    furniture: tuple[str, ...] = ("bench", "bin", "sign")


def _strip(rng, low: float, high: float, near: float = 5.0, far: float = 45.0) -> tuple[float, float]:
    """A point in a strip along y; nearer places are likelier, since far things are a pixel or two."""
    return rng.uniform(low, high), near + (far - near) * rng.random() ** 1.5


def _block(x: float, y: float, wide: float, deep: float, tall: float, look, gable: bool = False, front=0.0) -> dict:
    """A building's description, its place to the millimetre and its size to the centimetre."""
    return dict(
        x=round(float(x), 3),
        y=round(float(y), 3),
        yaw=0.0,
        wide=round(float(wide), 2),
        deep=round(float(deep), 2),
        tall=round(float(tall), 2),
        gable=gable,
        look=str(look),
        front=float(front),
    )


def _row(rng, side: float, depth: float, heights: tuple, gap: float, gable: bool, looks: tuple) -> list[dict]:
    """Buildings along one side, their fronts at x = side, from just behind the camera to the far end."""
    result, y = [], rng.uniform(-6, 2)
    while y < 88:
        wide = rng.uniform(9, 16) if gable else rng.uniform(10, 22)
        deep = depth * rng.uniform(0.8, 1.2)
        x, tall, look = side + np.sign(side) * deep / 2, rng.uniform(*heights), rng.choice(looks)
        result.append(_block(x, y + wide / 2, deep, wide, tall, look, gable, -np.sign(side)))
        y += wide + (rng.uniform(0.2, gap) if gap else 0.0)
    return result


def _ends(rng, looks: tuple, low: float = 8, high: float = 22) -> list[dict]:
    """A skyline that closes the view."""
    result, x = [], -70.0
    while x < 70:
        wide = rng.uniform(9, 22)
        if rng.random() < 0.8:
            y, tall, look = rng.uniform(96, 112), rng.uniform(low, high), rng.choice(looks)
            result.append(_block(x + wide / 2, y, wide, 8.0, tall, look))
        x += wide
    return result


def _lamp_rows(rng, *sides: float) -> list[tuple]:
    pitch, start = rng.uniform(14, 20), rng.uniform(5, 11)
    return [
        (side, round(float(start + k * pitch), 2), 0.0 if side < 0 else float(np.pi))
        for side in sides
        for k in range(3)
    ]


def _side(rng) -> float:
    """−1, the left, or 1, the right."""
    return float(rng.choice([-1, 1]))


def _along(rng) -> float:
    return float(rng.choice([0.0, np.pi]) + rng.normal(0, 0.05))


def _any_yaw(rng) -> float:
    return float(rng.uniform(0, 2 * np.pi))


def _street(rng) -> Plan:
    half, paved = rng.uniform(5.0, 6.2), rng.uniform(2.6, 3.6)
    regions = [
        ("concrete", "pavement", "strip", -half - paved, half + paved),
        ("asphalt", "road", "strip", -half, half),
        ("marking", "road", "dashes", 0.0, 0.14),
        ("marking", "road", "strip", -half + 2.1, -half + 2.2),
        ("marking", "road", "strip", half - 2.2, half - 2.1),
    ]
    if rng.random() < 0.5:
        regions.append(("marking", "road", "zebra", rng.uniform(9, 16), half - 0.3))
    edge = half + paved

    def drive(rng):
        s = _side(rng)
        return s * (half - 2.1) / 2, 8 + 34 * rng.random() ** 1.3, 0.0 if s > 0 else float(np.pi)

    def park(rng):
        s = _side(rng)
        return s * (half - 1.05), 6 + 34 * rng.random(), 0.0 if s > 0 else float(np.pi)

    def walk(rng):
        if rng.random() < 0.2:
            x, y = _strip(rng, -half, half, 8, 30)
            return x, y, float(np.pi / 2 * rng.choice([-1, 1]))
        x, y = _strip(rng, half + 0.4, edge - 0.5, 5, 34)
        return _side(rng) * x, y, _along(rng)

    def green(rng):
        return _side(rng) * (half + 0.7), rng.uniform(5, 60), 0.0

    looks = ("brick", "plaster", "office", "concrete")
    row = dict(heights=(8, 20), gap=0, gable=False, looks=looks)
    buildings = _row(rng, edge, 12, **row) + _row(rng, -edge, 12, **row) + _ends(rng, looks)
    lane, lamps = (half - 2.1) / 2, _lamp_rows(rng, -half - 0.4, half + 0.4)
    return Plan("street", regions, lane, edge - 1.0, walk, green, drive, park, 2.2, (0, 6), buildings, lamps)


def _residential(rng) -> Plan:
    half, paved = rng.uniform(3.4, 4.2), 1.8
    edge, yard = half + paved, rng.uniform(4, 7)
    regions = [
        ("concrete", "pavement", "strip", -edge, edge),
        ("asphalt", "road", "strip", -half, half),
        ("concrete", "pavement", "drives", edge, edge + yard),
    ]

    def drive(rng):
        s = _side(rng)
        return s * half * 0.42, 8 + 34 * rng.random() ** 1.3, 0.0 if s > 0 else float(np.pi)

    def park(rng):
        s = _side(rng)
        if rng.random() < 0.35:
            return s * (edge + yard * 0.45), 12 * rng.integers(1, 4) + 0.0, float(s * np.pi / 2)
        return s * (half - 0.95), 6 + 34 * rng.random(), 0.0 if s > 0 else float(np.pi)

    def walk(rng):
        x, y = _strip(rng, half + 0.3, edge - 0.3, 5, 30)
        return _side(rng) * x, y, _along(rng)

    def green(rng):
        return _side(rng) * rng.uniform(edge + 0.8, edge + yard - 0.8), rng.uniform(5, 55), _any_yaw(rng)

    looks = ("brick", "plaster", "wood")
    row = dict(heights=(3.4, 6.2), gap=6, gable=True, looks=looks)
    buildings = _row(rng, edge + yard, 9, **row) + _row(rng, -edge - yard, 9, **row)
    lane, lamps, furniture = half * 0.42, _lamp_rows(rng, half + 0.4), ("bin", "sign", "fence")
    return Plan(
        "residential", regions, lane, half + 0.9, walk, green, drive, park, 2.2, (3, 9), buildings, lamps, furniture
    )


def _campus(rng) -> Plan:
    half = rng.uniform(2.4, 4.0)
    far = rng.uniform(30, 46)
    regions = [
        ("concrete", "pavement", "strip", -half, half),
        ("concrete", "pavement", "cross", rng.uniform(14, 24), 1.6),
        ("concrete", "pavement", "ellipse", 0.0, far, 11.0, 7.0),
    ]

    def walk(rng):
        if rng.random() < 0.3:
            x, y = _strip(rng, -9, 9, 12, 26)
            return x, y, _any_yaw(rng)
        x, y = _strip(rng, -half + 0.4, half - 0.4, 5, 32)
        return x, y, _along(rng)

    def green(rng):
        return _side(rng) * rng.uniform(half + 1.2, 15), rng.uniform(5, 55), _any_yaw(rng)

    looks = ("office", "brick", "concrete")
    wall = rng.uniform(16, 22)
    row = dict(heights=(9, 18), gap=10, gable=False, looks=looks)
    buildings = _row(rng, wall, 14, **row) + _row(rng, -wall, 14, **row)
    tall, look = round(float(rng.uniform(10, 18)), 2), str(rng.choice(looks))
    hall = dict(x=0.0, y=far + 20, yaw=0.0, wide=34.0, deep=12.0, tall=tall, gable=False, look=look, front=0.0)
    buildings.append(hall)
    lamps, furniture = _lamp_rows(rng, -half - 0.5, half + 0.5), ("bench", "bench", "bin", "sign", "statue")
    return Plan("campus", regions, 0.8, half - 0.5, walk, green, None, None, 0.0, (4, 11), buildings, lamps, furniture)


def _park(rng) -> Plan:
    half = rng.uniform(1.2, 1.9)
    bend, phase = rng.uniform(0.5, 2.5), rng.uniform(0, 6)
    regions = [(str(rng.choice(["soil", "asphalt", "sand"])), "pavement", "winding", half, bend, phase)]
    pond = rng.random() < 0.45
    px, py = _side(rng) * rng.uniform(8, 11), rng.uniform(16, 26)
    if pond:
        regions.append(("water", "water", "ellipse", px, py, rng.uniform(4.0, 5.5), rng.uniform(5.0, 8.0)))

    def walk(rng):
        _, y = _strip(rng, 0, 1, 5, 32)
        return bend * np.sin(y / 9 + phase) - bend * np.sin(phase) + rng.uniform(-half, half) * 0.8, y, _along(rng)

    def green(rng):
        while True:
            x, y = _side(rng) * rng.uniform(half + bend + 1.2, 22), rng.uniform(6, 70)
            if not pond or ((x - px) / 7.5) ** 2 + ((y - py) / 10) ** 2 > 1:
                return x, y, _any_yaw(rng)

    buildings = _ends(rng, ("brick", "plaster"), 4, 9)[:3]
    lamps, furniture = _lamp_rows(rng, half + bend + 0.8)[:2], ("bench", "bench", "bin", "sign")
    return Plan("park", regions, 0.0, half, walk, green, None, None, 0.0, (8, 22), buildings, lamps, furniture)


def _waterside(rng) -> Plan:
    half, shore = rng.uniform(2.0, 3.2), rng.uniform(4.2, 6.0)
    flip = _side(rng)  # the water lies to the right, or to the left

    def strip(material: str, kind: str, near: float, far: float) -> tuple:
        return material, kind, "strip", *sorted((near * flip, far * flip))

    regions = [
        strip("concrete", "pavement", -half, shore),
        strip("sand", "soil", -half - 1.6, -half),
        strip("water", "water", shore, 80.0),
    ]

    def walk(rng):
        x, y = _strip(rng, -half + 0.3, shore - 1.0, 5, 32)
        return x * flip, y, _along(rng)

    def green(rng):
        return -flip * rng.uniform(half + 2.2, 16), rng.uniform(5, 60), _any_yaw(rng)

    buildings = _row(rng, -flip * 20, 12, (6, 14), 12, False, ("plaster", "brick", "office"))
    buildings += _ends(rng, ("plaster", "office"), 4, 14)
    walk_side = half * 0.8 * -flip
    lamps, furniture = _lamp_rows(rng, -flip * (half + 0.4)), ("bench", "bin", "sign", "railing")
    return Plan("waterside", regions, 0.0, walk_side, walk, green, None, None, 0.0, (3, 9), buildings, lamps, furniture)


def _parking(rng) -> Plan:
    aisle = rng.uniform(3.0, 3.6)
    regions = [
        ("asphalt", "road", "strip", -16.0, 16.0),
        ("marking", "road", "bays", aisle, aisle + 5.0),
        ("concrete", "pavement", "strip", 9.4, 11.4),
        ("concrete", "pavement", "strip", -11.4, -9.4),
    ]

    def drive(rng):
        s = _side(rng)
        return s * aisle * 0.5, 8 + 30 * rng.random(), 0.0 if s > 0 else float(np.pi)

    def park(rng):
        s, bay = _side(rng), int(rng.integers(0, 13))
        return s * (aisle + 2.4), 6 + 2.7 * bay, float(-s * np.pi / 2 + (np.pi if rng.random() < 0.4 else 0))

    def walk(rng):
        x, y = _strip(rng, -aisle, aisle, 6, 30) if rng.random() < 0.6 else _strip(rng, 9.7, 11.2, 6, 30)
        return x, y, _any_yaw(rng)

    def green(rng):
        return _side(rng) * rng.uniform(17, 24), rng.uniform(5, 60), _any_yaw(rng)

    buildings = _row(rng, 27, 16, (6, 10), 6, False, ("metal", "concrete", "office"))
    buildings += _ends(rng, ("metal", "office", "concrete"), 6, 14)
    lamps, furniture = _lamp_rows(rng, -10.4, 10.4), ("bin", "sign", "container")
    return Plan(
        "parking", regions, aisle * 0.5, 10.2, walk, green, drive, park, 5.0, (2, 7), buildings, lamps, furniture
    )


_MAKERS = dict(
    street=_street, residential=_residential, campus=_campus, park=_park, waterside=_waterside, parking=_parking
)


def plan_for(setting: str, rng: np.random.Generator) -> Plan:
    """Lay out one place of that kind."""
    return _MAKERS[setting](rng)
