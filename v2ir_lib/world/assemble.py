"""From a scene's description to triangles: one mesh for all that stands, and a table with a row for each part."""

from dataclasses import dataclass

import numpy as np

from v2ir_lib.world import CLASS_INDEX, THINGS, meshes
from v2ir_lib.world.living import animal, person
from v2ir_lib.world.materials import MATERIALS, srgb_to_linear
from v2ir_lib.world.parts import Light, Part
from v2ir_lib.world.scene import Scene
from v2ir_lib.world.surroundings import building, bush, furniture, lamp, tree
from v2ir_lib.world.vehicles import bicycle, bus, car, truck

GROUND = 200.0  # metres: half the side of the ground plane, whose two triangles come first in the mesh


@dataclass(frozen=True)
class Parts:
    """The parts of a scene as columns, one row a part; row 0 stands for the ground and is overwritten by its plan."""

    albedo: np.ndarray  # (P, 3) linear RGB
    reflectance: np.ndarray  # (P, 2) NIR, SWIR
    emissivity: np.ndarray  # (P, 2) MWIR, LWIR
    night: np.ndarray  # (P,) K above the air under a clear night sky
    sun: np.ndarray  # (P,) K that full summer sun adds
    celsius: np.ndarray  # (P,) fixed temperature, NaN where the rule holds
    extra: np.ndarray  # (P,) K
    glow: np.ndarray  # (P, 4) radiance of its own: R, G, B, NIR
    finish: np.ndarray  # (P,) 0 diffuse, 1 gloss, 2 glass or water, 3 bare metal
    kind: np.ndarray  # (P,) class index
    instance: np.ndarray  # (P,) 0 for stuff
    jitter: np.ndarray  # (P,)


@dataclass(frozen=True)
class Assembly:
    """A scene ready to be traced."""

    vertices: np.ndarray  # (V, 3) metres
    faces: np.ndarray  # (F, 3)
    part: np.ndarray  # (F,) row in `parts`
    parts: Parts
    instances: tuple[dict, ...]  # instance k is instances[k - 1], with its kind
    lights: tuple[Light, ...]
    ghosts: tuple[dict, ...]


_FINISH = {"diffuse": 0, "gloss": 1, "mirror": 2}
_FURNITURE = ("bench", "bin", "sign", "fence", "railing", "container", "statue")


def lights_on(scene: Scene) -> bool:
    """Vehicles have their lights on from dusk to dawn and in fog; street lamps and windows from dusk to dawn."""
    return scene.time != "day" or scene.weather == "fog"


def _parts_of(thing: dict, scene: Scene) -> list[tuple[str, list[Part]]]:
    """The objects (kind, parts) that one entry of the description stands for: a ridden bicycle is two."""
    kind, on, winter = thing["kind"], lights_on(scene), scene.season == "winter"
    makers = {"car": car, "bus": bus, "truck": truck, "person": person, "animal": animal}
    if kind in makers:
        return [(kind, makers[kind](thing, scene.air, on))]
    if kind == "bicycle":
        rider = [("person", person(thing, scene.air, on, seated=True))] if thing["ridden"] else []
        return [("bicycle", bicycle(thing, scene.air, on)), *rider]
    if kind == "tree":
        return [("tree", tree(thing, scene.air, on, winter))]
    if kind == "bush":
        return [("bush", bush(thing, scene.air, on, winter))]
    if kind == "lamp":
        return [("lamp", lamp(thing, scene.air, on and scene.time != "day", scene.halogen))]
    if kind == "building":
        return [("building", building(thing, scene.air, scene.time != "day"))]
    if kind in _FURNITURE:
        return [(kind, furniture(thing, scene.air, on))]
    return []  # ghosts: nothing stands there


def _lights_of(thing: dict, scene: Scene) -> list[Light]:
    cos, sin = np.cos(thing["yaw"]), np.sin(thing["yaw"])

    def world(x: float, y: float, z: float) -> tuple[float, float, float]:
        return float(thing["x"] + cos * x - sin * y), float(thing["y"] + sin * x + cos * y), z

    if thing["kind"] == "lamp" and scene.time != "day":
        return [Light(world(1.2, 0.0, 5.05), 1.0)]
    if thing.get("state") == "driven" and lights_on(scene):
        front = {"car": 2.4, "bus": 5.7, "truck": 4.1}[thing["kind"]]
        return [Light(world(0.0, front, 0.7), 1.6, world(0.0, front + 9, 0.0))]
    return []


def assemble(scene: Scene) -> Assembly:
    """Build every object of `scene` and put it in its place."""
    g = GROUND
    pieces = [meshes.quad([(-g, -g, 0), (g, -g, 0), (g, g, 0), (-g, g, 0)])]
    rows: list[tuple[Part, int]] = [(Part(pieces[0], "soil", "soil"), 0)]
    owners = [np.zeros(2, dtype=np.int32)]
    instances, lights = [], []
    for thing in scene.objects:
        lights += _lights_of(thing, scene)
        for kind, parts in _parts_of(thing, scene):
            if kind in THINGS:
                instances.append({**thing, "kind": kind})
            for part in parts:
                piece = meshes.move(part.mesh, (thing["x"], thing["y"], 0.0), thing["yaw"])
                pieces.append(piece)
                owners.append(np.full(len(piece[1]), len(rows), dtype=np.int32))
                rows.append((part, len(instances) if kind in THINGS else 0))
    vertices, faces = meshes.join(*pieces)
    eye = scene.camera.origin
    nearest = sorted(lights, key=lambda light: np.hypot(light.at[0] - eye[0], light.at[1] - eye[1]))
    ghosts = tuple(thing for thing in scene.objects if thing["kind"] == "ghost")
    return Assembly(
        vertices, faces, np.concatenate(owners), _columns(rows), tuple(instances), tuple(nearest[:7]), ghosts
    )


def _columns(rows: list[tuple[Part, int]]) -> Parts:
    stuff = [(part, MATERIALS[part.material], instance) for part, instance in rows]
    albedo = [m.albedo if p.colour is None else srgb_to_linear(np.array(p.colour) / 255) for p, m, _ in stuff]
    # The paint's colour says something of its NIR and SWIR reflectance, but little: pigments differ.
    bright = np.array([a.mean() for a in albedo])
    painted = np.array([m.name in ("paint", "plaster", "wood") for _, m, _ in stuff])
    base = np.array([(m.nir, m.swir) for _, m, _ in stuff])
    warming = np.where(painted, 1.15 - 0.6 * bright, 1.0)  # dark paint warms more than white paint
    return Parts(
        albedo=np.array(albedo, dtype=np.float32),
        reflectance=np.where(painted[:, None], 0.5 * base + 0.5 * bright[:, None], base).astype(np.float32),
        emissivity=np.array([(m.mwir, m.lwir) for _, m, _ in stuff], dtype=np.float32),
        night=np.array([m.night for _, m, _ in stuff], dtype=np.float32),
        sun=(np.array([m.sun for _, m, _ in stuff]) * warming).astype(np.float32),
        celsius=np.array([np.nan if p.celsius is None else p.celsius for p, _, _ in stuff], dtype=np.float32),
        extra=np.array([p.extra for p, _, _ in stuff], dtype=np.float32),
        glow=np.array([(*p.glow, p.glow_nir) for p, _, _ in stuff], dtype=np.float32),
        finish=np.array([3 if m.name == "aluminium" else _FINISH[m.finish] for _, m, _ in stuff], dtype=np.int8),
        kind=np.array([CLASS_INDEX[p.kind] for p, _, _ in stuff], dtype=np.uint8),
        instance=np.array([i for _, _, i in stuff], dtype=np.int32),
        jitter=np.array([p.jitter for p, _, _ in stuff], dtype=np.float32),
    )
