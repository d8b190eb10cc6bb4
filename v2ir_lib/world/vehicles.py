"""Cars, buses, trucks and bicycles. They face +y, stand on z = 0, and are warm where a running engine warms them.

Temperatures: bonnet 50-70 °C with the engine on, tyres air + 10 K when driven, exhaust tip 30-50 °C, muffler 150 °C.
A car that has just been parked keeps part of that and shows nothing of it in visible light.
"""

import numpy as np

from v2ir_lib.world import meshes
from v2ir_lib.world.parts import Part

_BODIES = (  # half length, width, (y, z) outline of the painted body, outline of the glass house
    (2.25, 1.78, [(-2.25, 0.3), (2.25, 0.3), (2.25, 0.62), (0.95, 0.9), (-1.6, 0.94), (-2.25, 0.86)],
     [(-1.7, 0.92), (1.05, 0.88), (0.25, 1.4), (-1.05, 1.42)]),  # saloon
    (1.95, 1.7, [(-1.95, 0.3), (1.95, 0.3), (1.95, 0.66), (0.85, 0.92), (-1.9, 0.96)],
     [(-1.88, 0.94), (0.98, 0.9), (0.3, 1.46), (-1.6, 1.46)]),  # hatchback
    (2.3, 1.88, [(-2.3, 0.4), (2.3, 0.4), (2.3, 0.9), (1.0, 1.06), (-2.25, 1.1)],
     [(-2.2, 1.08), (1.1, 1.04), (0.55, 1.72), (-2.05, 1.74)]),  # SUV
    (2.5, 1.95, [(-2.5, 0.35), (2.5, 0.35), (2.5, 0.85), (1.75, 1.15), (-2.5, 1.2)],
     [(-2.48, 1.18), (1.85, 1.12), (1.2, 2.0), (-2.45, 2.05)]),  # van
)  # fmt: skip


def _wheels(kind: str, axles: tuple, half: float, radius: float, extra: float) -> list[Part]:
    wheel = meshes.move(meshes.tilt(meshes.cylinder(radius, 0.22, 12), np.pi / 2, "y"), (-0.11, 0, radius))
    hub = meshes.move(meshes.tilt(meshes.cylinder(radius * 0.5, 0.25, 8), np.pi / 2, "y"), (-0.125, 0, radius))
    spots = [(side * (half - 0.1), axle, 0.0) for side in (-1, 1) for axle in axles]
    wheels, hubs = (meshes.join(*(meshes.move(mesh, spot) for spot in spots)) for mesh in (wheel, hub))
    return [
        Part(wheels, "tyre", kind, extra=extra),
        Part(hubs, "steel", kind, (150, 150, 152), extra=extra * 1.5),
    ]


def _lights(kind: str, half: float, front: float, back: float, height: float, on: bool) -> list[Part]:
    lamp = meshes.box(0.3, 0.06, 0.16)

    def pair(y: float) -> meshes.Mesh:
        return meshes.join(*(meshes.move(lamp, (side * (half - 0.25), y, height)) for side in (-1, 1)))

    return [
        Part(
            pair(front),
            "lamp",
            kind,
            (235, 235, 230),
            extra=6.0 if on else 0.0,
            glow=(9.0, 8.6, 7.5) if on else (0, 0, 0),
            glow_nir=4.0 if on else 0,
        ),
        Part(
            pair(back),
            "lamp",
            kind,
            (150, 20, 20),
            extra=2.0 if on else 0.0,
            glow=(2.6, 0.12, 0.08) if on else (0, 0, 0),
        ),
    ]


def car(thing: dict, air: float, lights_on: bool) -> list[Part]:
    """`state` is "driven", "just parked" or "cold"; `body` one of four outlines."""
    half_length, width, body, house = _BODIES[thing.get("body", 0)]
    driven, warm = thing["state"] == "driven", thing["state"] == "just parked"
    rng = np.random.default_rng(thing["seed"])
    colour, kind = tuple(thing["colour"]), "car"
    bonnet = rng.uniform(50, 68) if driven else rng.uniform(34, 44)
    bonnet = max(bonnet, air + 8)
    low, high = body[-1], body[2]
    nose = [point for point in body if point[0] > 0 and point[1] > 0.5]
    start, end = max(nose, key=lambda p: p[1]), min(nose, key=lambda p: p[1])
    plate = meshes.quad(
        [
            (-0.62, start[0], start[1] + 0.012),
            (0.62, start[0], start[1] + 0.012),
            (0.62, end[0] - 0.05, end[1] + 0.03),
            (-0.62, end[0] - 0.05, end[1] + 0.03),
        ]
    )
    grille = meshes.move(meshes.box(width * 0.55, 0.04, 0.26), (0, half_length, 0.36))
    roof = [house[2], house[3], (house[3][0] + 0.05, house[3][1] + 0.05), (house[2][0] - 0.05, house[2][1] + 0.05)]
    roof = [roof[1], roof[0], roof[3], roof[2]]
    hot = dict(celsius=bonnet) if driven or warm else {}
    axle, bumper = half_length * 0.62, half_length + 0.01
    parts = [
        Part(meshes.extrude(np.array(body), width), "paint", kind, colour),
        Part(meshes.extrude(np.array(house), width * 0.86), "glass", kind, (28, 34, 40), extra=2.0 if driven else 0.0),
        Part(meshes.extrude(np.array(roof), width * 0.84), "paint", kind, colour),
        Part(plate, "paint", kind, colour, **hot),
        Part(grille, "tyre", kind, (24, 24, 26), **({"celsius": bonnet + 4} if driven else hot)),
        *_wheels(kind, (-axle, axle), width / 2, 0.32, 10.0 if driven else 4.0 if warm else 0.0),
        *_lights(kind, width / 2, bumper, -bumper, (low[1] + high[1]) / 2 - 0.22, driven and lights_on),
    ]
    pipe = meshes.move(meshes.tilt(meshes.cylinder(0.06, 0.2, 6), np.pi / 2), (width * 0.28, -half_length + 0.05, 0.26))
    muffler = meshes.move(meshes.box(0.5, 0.5, 0.14), (width * 0.2, -half_length + 0.5, 0.2))
    heat = (45.0, 150.0) if driven else (30.0, 60.0) if warm else (None, None)
    parts += [Part(pipe, "exhaust", kind, celsius=heat[0]), Part(muffler, "exhaust", kind, celsius=heat[1])]
    return parts


def bus(thing: dict, air: float, lights_on: bool) -> list[Part]:
    """A city bus, engine at the back."""
    colour, kind = tuple(thing["colour"]), "bus"
    colour = colour if max(colour) > 90 else (190, 60, 40)
    rows = [(side * 1.24, -4.4 + 1.75 * k, 1.35) for side in (-1, 1) for k in range(6)]
    windows = meshes.join(*(meshes.move(meshes.box(0.06, 1.5, 0.95), at) for at in rows))
    front = meshes.move(meshes.box(2.2, 0.06, 1.35), (0, 5.5, 1.2))
    back = meshes.move(meshes.box(2.1, 0.06, 0.7), (0, -5.5, 1.7))
    engine = meshes.move(meshes.box(1.3, 0.06, 0.55), (0.1, -5.51, 0.7))
    grille = meshes.move(meshes.box(1.6, 0.05, 0.4), (0, 5.52, 0.55))
    glow = (0.16, 0.14, 0.1) if lights_on else (0, 0, 0)
    return [
        Part(meshes.move(meshes.box(2.5, 11, 2.55), (0, 0, 0.35)), "paint", kind, colour),
        Part(meshes.move(meshes.box(2.52, 11.02, 0.35), (0, 0, 2.3)), "paint", kind, (235, 235, 232)),
        Part(windows, "glass", kind, (30, 38, 46), extra=3.0, glow=glow),
        Part(meshes.join(front, back), "glass", kind, (26, 32, 38), extra=3.0, glow=tuple(0.6 * g for g in glow)),
        Part(engine, "exhaust", kind, (60, 60, 62), celsius=max(42, air + 16)),
        Part(grille, "tyre", kind, (30, 30, 32), extra=8.0),
        *_wheels(kind, (-3.3, 3.4), 1.25, 0.48, 10.0),
        *_lights(kind, 1.2, 5.53, -5.53, 0.7, lights_on),
    ]


def truck(thing: dict, air: float, lights_on: bool) -> list[Part]:
    """A box truck; the cargo box is bare aluminium, painted white, or coloured."""
    colour, kind, driven = tuple(thing["colour"]), "truck", thing["state"] == "driven"
    bare = thing["seed"] % 3 == 0
    cab = [(2.0, 0.5), (3.9, 0.5), (3.95, 1.4), (3.6, 2.45), (2.0, 2.5)]
    cargo = meshes.move(meshes.box(2.3, 5.4, 2.3), (0, -1.0, 0.75))
    windscreen = meshes.move(meshes.tilt(meshes.box(1.85, 0.05, 0.85), -0.3), (0, 3.86, 1.5))
    sides = meshes.join(*(meshes.move(meshes.box(0.05, 0.9, 0.7), (s * 1.06, 3.0, 1.55)) for s in (-1, 1)))
    grille = meshes.move(meshes.box(1.5, 0.05, 0.55), (0, 3.95, 0.65))
    frame = meshes.move(meshes.box(0.9, 6.5, 0.25), (0, -0.4, 0.5))
    hot = dict(celsius=max(58.0, air + 20)) if driven else {}
    return [
        Part(meshes.extrude(np.array(cab), 2.1), "paint", kind, colour),
        Part(cargo, "aluminium" if bare else "paint", kind, None if bare else (228, 228, 224)),
        Part(windscreen, "glass", kind, (28, 34, 40)),
        Part(sides, "glass", kind, (28, 34, 40)),
        Part(grille, "tyre", kind, (36, 36, 38), **hot),
        Part(frame, "steel", kind, (50, 50, 52), extra=6.0 if driven else 0.0),
        *_wheels(kind, (-2.7, 2.7), 1.15, 0.48, 10.0 if driven else 0.0),
        *_lights(kind, 1.05, 3.97, -3.72, 0.7, driven and lights_on),
    ]


def bicycle(thing: dict, air: float, lights_on: bool) -> list[Part]:
    """A frame and two wheels; the rider, if any, is a person of its own."""
    wheels = meshes.join(*(meshes.move(meshes.ring(0.34, 0.03), (0, y, 0)) for y in (-0.52, 0.52)))
    joints = [(0, -0.52, 0.34), (0, -0.15, 0.85), (0, 0.38, 0.86), (0, 0.0, 0.3), (0, 0.52, 0.34)]
    pairs = [(0, 1), (1, 2), (2, 3), (3, 1), (0, 3), (2, 4)]
    frame = meshes.join(
        *(meshes.between(joints[a], joints[b], 0.032, 5) for a, b in pairs),
        meshes.between((-0.27, 0.36, 1.0), (0.27, 0.36, 1.0), 0.025, 5),
        meshes.between((0, 0.36, 0.84), (0, 0.36, 1.0), 0.025, 5),
    )
    saddle = meshes.move(meshes.box(0.14, 0.26, 0.06), (0, -0.18, 0.9))
    parts = [
        Part(wheels, "tyre", "bicycle", extra=1.5 if thing["ridden"] else 0.0),
        Part(frame, "paint", "bicycle", tuple(thing["colour"])),
        Part(saddle, "tyre", "bicycle"),
    ]
    if thing["ridden"] and lights_on:
        parts.append(Part(meshes.move(meshes.box(0.08, 0.05, 0.08), (0, 0.5, 0.85)), "lamp", "bicycle", glow=(5, 5, 5)))
    return parts
