"""The ground: what lies where, its grain, its puddles, and the warm or cool places that departed cars leave."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter

from v2ir_lib.world import CLASS_INDEX
from v2ir_lib.world.layout import Plan, plan_for
from v2ir_lib.world.materials import MATERIALS
from v2ir_lib.world.scene import Scene, draw_attributes


@dataclass(frozen=True)
class Ground:
    """Ground at N points."""

    albedo: np.ndarray  # (N, 3) linear RGB
    reflectance: np.ndarray  # (N, 2) NIR, SWIR
    emissivity: np.ndarray  # (N, 2) MWIR, LWIR
    night: np.ndarray  # (N,) K
    sun: np.ndarray  # (N,) K
    extra: np.ndarray  # (N,) K: ghosts, and the ground's own unevenness
    kind: np.ndarray  # (N,) class index
    water: np.ndarray  # (N,) bool
    wet: np.ndarray  # (N,) 0 dry … 1 puddle


@cache
def noise_tile(seed: int, size: int = 256) -> np.ndarray:
    """Smooth noise with zero mean, unit deviation and all scales down to a pixel, (size, size), periodic."""
    rng = np.random.default_rng(seed)
    total = sum(
        weight * _unit(gaussian_filter(rng.standard_normal((size, size)), sigma, mode="wrap"))
        for sigma, weight in ((12, 1.0), (4, 0.7), (1, 0.5))
    )
    return _unit(total)


def _unit(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def _sample(tile: np.ndarray, x: np.ndarray, y: np.ndarray, metres: float) -> np.ndarray:
    """The tile repeated every `metres`, read at points (nearest)."""
    size = len(tile)
    return tile[(x / metres * size).astype(np.int64) % size, (y / metres * size).astype(np.int64) % size]


def _inside(region: tuple, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    _, _, shape, *numbers = region
    if shape == "strip":
        return (x > numbers[0]) & (x < numbers[1])
    if shape == "dashes":
        return (np.abs(x - numbers[0]) < numbers[1] / 2) & (y % 6.0 < 3.0)
    if shape == "zebra":
        at, half = numbers
        return (np.abs(y - at) < 1.6) & (np.abs(x) < half) & (x % 1.0 < 0.5)
    if shape == "cross":
        return np.abs(y - numbers[0]) < numbers[1]
    if shape == "drives":
        return (np.abs(x) > numbers[0]) & (np.abs(x) < numbers[1]) & (np.abs((y + 6) % 12 - 6) < 1.6)
    if shape == "bays":
        low, high = numbers
        side = (np.abs(x) > low) & (np.abs(x) < high)
        return side & ((y - 4.65) % 2.7 < 0.12)
    if shape == "ellipse":
        cx, cy, rx, ry = numbers
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
    half, bend, phase = numbers  # winding
    return np.abs(x - bend * (np.sin(y / 9 + phase) - np.sin(phase))) < half


def plan_of(scene: Scene) -> Plan:
    """The plan that `sample_scene` drew; drawn again with the same numbers."""
    rng = np.random.default_rng([scene.seed, scene.index])
    draw_attributes(rng)
    return plan_for(scene.setting, rng)


def ground_at(scene: Scene, ghosts: tuple[dict, ...], x: np.ndarray, y: np.ndarray) -> Ground:
    """The ground under the points (x, y), metres, each (N,)."""
    base = "snow" if scene.snow else "dry_grass" if scene.season == "winter" else "grass"
    names = [base]
    layer = np.zeros(x.shape, dtype=np.int64)
    kind = np.full(x.shape, CLASS_INDEX["grass"], dtype=np.uint8)
    edge = 0.06 * _sample(noise_tile(5), x, y, 11.0)  # no ruler drew the edges of a path
    for region in plan_of(scene).regions:
        straight = region[0] in ("marking", "asphalt", "concrete") and region[2] != "winding"
        here = _inside(region, x if straight else x + edge, y)
        layer[here], kind[here] = len(names), CLASS_INDEX[region[1]]
        names.append(region[0])
    stuff = [MATERIALS[name] for name in names]

    def pick(values: list) -> np.ndarray:  # from one value a layer to one a point
        return np.array(values, dtype=np.float32)[layer]

    coarse, fine = _sample(noise_tile(scene.index % 7), x, y, 23.0), _sample(noise_tile(11), x, y, 3.1)
    grain = np.array([0.16 if m.name in ("grass", "dry_grass", "soil", "sand") else 0.07 for m in stuff])[layer]
    texture = np.clip(1 + grain * (0.7 * coarse + 0.8 * fine), 0.3, 1.8)
    water = pick([m.name == "water" for m in stuff]) > 0
    shape = _ghost_shape(ghosts, x, y)
    wet = np.zeros(x.shape, dtype=np.float32)
    if scene.weather == "rain":
        hard = np.isin(kind, [CLASS_INDEX["road"], CLASS_INDEX["pavement"]])
        wet = np.where(hard, np.clip(0.55 + 0.35 * coarse, 0.15, 1.0), 0.25).astype(np.float32)
        wet = np.where(shape[0] > 0.5, 0.05, wet)  # it stayed dry under the car: the one ghost that the eye can see
    albedo = pick([m.albedo for m in stuff]) * texture[..., None] * (1 - 0.5 * wet[..., None])
    reflectance = pick([(m.nir, m.swir) for m in stuff]) * (texture[..., None] ** 0.7).astype(np.float32)
    return Ground(
        albedo=np.clip(albedo, 0, 0.95).astype(np.float32),
        reflectance=reflectance * (1 - 0.4 * wet[..., None]),
        emissivity=np.maximum(pick([(m.mwir, m.lwir) for m in stuff]), 0.96 * (wet[..., None] > 0.5)),
        night=pick([m.night for m in stuff]) * (1 - 0.5 * wet),
        sun=pick([m.sun for m in stuff]) * (1 - 0.6 * wet),
        extra=(0.25 * coarse + 0.2 * fine + _ghost_kelvin(scene, *shape)).astype(np.float32) * ~water,
        kind=kind,
        water=water,
        wet=wet,
    )


def _ghost_shape(ghosts: tuple[dict, ...], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a car stood, and where its engine was: two maps from 0 to 1 with soft edges."""
    body, engine = np.zeros(x.shape, dtype=np.float32), np.zeros(x.shape, dtype=np.float32)
    for ghost in ghosts:
        cos, sin = np.cos(ghost["yaw"]), np.sin(ghost["yaw"])
        dx, dy = x - ghost["x"], y - ghost["y"]
        across, along = cos * dx + sin * dy, -sin * dx + cos * dy
        body = np.maximum(body, _soft(across, 0.9) * _soft(along, 2.15))
        engine = np.maximum(engine, np.exp(-(across**2 + (along - 1.4) ** 2) / 0.5))
    return body, engine


def _soft(value: np.ndarray, half: float) -> np.ndarray:
    """1 within ±half, 0 outside, with an edge 0.35 m wide."""
    return np.clip((half - np.abs(value)) / 0.35 + 0.5, 0, 1)


def _ghost_kelvin(scene: Scene, body: np.ndarray, engine: np.ndarray) -> np.ndarray:
    """By day the ground was shaded and is cooler; by night it was sheltered from the sky and is warmer."""
    sheltered = -9.0 if scene.time == "day" and scene.weather in ("clear", "overcast") else 4.0
    if scene.time == "day" and scene.weather == "overcast":
        sheltered = -3.0
    return sheltered * body + 7.0 * engine
