"""What does not move: buildings, trees, lamps and street furniture."""

import numpy as np

from v2ir_lib.world import meshes
from v2ir_lib.world.parts import Part

WALLS = {  # look -> (material, colours)
    "brick": ("brick", ((150, 75, 60), (128, 66, 52), (168, 110, 84))),
    "plaster": ("plaster", ((214, 206, 188), (226, 214, 170), (190, 196, 200), (206, 172, 150))),
    "concrete": ("concrete", ((165, 160, 150), (140, 138, 134))),
    "office": ("concrete", ((120, 126, 132), (90, 98, 106))),
    "metal": ("aluminium", ((180, 182, 186), (150, 160, 170))),
    "wood": ("wood", ((150, 112, 74), (180, 176, 166), (96, 66, 46))),
}


def _wall_windows(thing: dict, rng, x0: float, x1: float, place) -> tuple[list, list]:
    """Window rectangles on one wall; `place(u, z)` maps a point of the wall to 3-D. Returns (dark, lit)."""
    office = thing["look"] == "office"
    pitch_u, pitch_z = (2.2, 3.2) if office else (2.8, 3.0)
    wide, high = (1.9, 2.1) if office else (1.25, 1.5)
    dark, lit = [], []
    columns = int((x1 - x0 - 0.8) // pitch_u)
    rows = max(int((thing["tall"] - 0.8) // pitch_z), 1)
    if thing["look"] == "metal" or columns < 1:
        return dark, lit
    start = (x0 + x1) / 2 - columns * pitch_u / 2 + pitch_u / 2
    for row in range(rows):
        for column in range(columns):
            u, z = start + column * pitch_u, 0.95 + row * pitch_z
            corners = [
                place(u - wide / 2, z),
                place(u + wide / 2, z),
                place(u + wide / 2, z + high),
                place(u - wide / 2, z + high),
            ]
            (lit if rng.random() < 0.3 else dark).append(meshes.quad(corners))
    return dark, lit


def building(thing: dict, air: float, lights_on: bool) -> list[Part]:
    """A block with windows on the walls that can be seen; gabled roof if `gable`. Lit windows glow after dark."""
    rng = np.random.default_rng(thing["seed"])
    material, colours = WALLS[thing["look"]]
    colour = colours[rng.integers(len(colours))]
    wide, deep, tall = thing["wide"], thing["deep"], thing["tall"]
    parts = [Part(meshes.box(wide, deep, tall), material, "building", colour)]
    dark, lit = [], []
    front = thing["front"]
    if front:  # the wall towards the road, and the one towards the camera
        groups = [_wall_windows(thing, rng, -deep / 2, deep / 2, lambda u, z: (front * (wide / 2 + 0.03), u, z))]
    else:
        groups = []
    groups.append(_wall_windows(thing, rng, -wide / 2, wide / 2, lambda u, z: (u, -deep / 2 - 0.03, z)))
    for some_dark, some_lit in groups:
        dark, lit = dark + some_dark, lit + some_lit
    warmth = float(rng.uniform(0.08, 0.18))
    if dark:
        parts.append(Part(meshes.join(*dark), "glass", "window"))
    if lit:
        glow = (warmth, warmth * 0.74, warmth * 0.4) if lights_on else (0, 0, 0)
        extra, near_infrared = 4.0 if air < 10 else 0.0, 0.03 * bool(lights_on)
        parts.append(Part(meshes.join(*lit), "glass", "window", extra=extra, glow=glow, glow_nir=near_infrared))
    if thing["gable"]:
        rise = rng.uniform(1.6, 2.8)
        outline = np.array([(-deep / 2 - 0.3, tall), (deep / 2 + 0.3, tall), (0, tall + rise)])
        roof = ((120, 70, 55), (82, 82, 86), (100, 84, 72))[rng.integers(3)]
        parts.append(Part(meshes.extrude(outline, wide + 0.5), "roof", "building", roof))
        chimney = meshes.move(meshes.box(0.6, 0.6, 1.4), (wide * 0.2, 0, tall + rise * 0.5))
        parts.append(Part(chimney, "brick", "building"))
    else:
        slab = meshes.move(meshes.box(wide + 0.3, deep + 0.3, 0.35), (0, 0, tall))
        parts.append(Part(slab, "concrete", "building", (120, 118, 114)))
        unit = meshes.move(meshes.box(2.0, 1.6, 1.2), (wide * 0.2, 0, tall + 0.3))
        parts.append(Part(unit, "aluminium", "building"))
    return parts


def lamp(thing: dict, air: float, lights_on: bool, halogen: bool = False) -> list[Part]:
    """A street lamp of 5.2 m, its arm towards +x. LED heads reach 33 °C, halogen ones 60 °C."""
    pole = meshes.join(meshes.cylinder(0.075, 5.2, 7, 0.05), meshes.between((0, 0, 5.1), (1.1, 0, 5.35), 0.04, 5))
    glow = ((10.0, 7.4, 4.2) if halogen else (9.0, 9.2, 9.6)) if lights_on else (0, 0, 0)
    heat = dict(celsius=60.0 if halogen else max(33.0, air + 4)) if lights_on else {}
    head = meshes.move(meshes.ellipsoid(0.34, 0.15, 0.11), (1.2, 0, 5.3))
    return [
        Part(pole, "steel", "lamp", (84, 88, 90)),
        Part(head, "lamp", "lamp", (220, 220, 214), glow=glow, glow_nir=8.0 if halogen and lights_on else 0.0, **heat),
    ]


def tree(thing: dict, air: float, lights_on: bool, winter: bool = False) -> list[Part]:
    """Broadleaf (bare in winter) or conifer, `height` metres."""
    rng = np.random.default_rng(thing["seed"])
    height = thing["height"]
    trunk = meshes.cylinder(0.03 * height, height * 0.55, 7, 0.018 * height)
    if thing["shape"] == "conifer":
        tiers = []
        for k in range(5):
            width = height * 0.24 * (1 - k / 6) * rng.uniform(0.9, 1.1)
            vertices, faces = meshes.cylinder(width, height * 0.34, 9, 0.02)
            wobble = 1 + rng.uniform(-0.14, 0.14, (len(vertices), 1)) * [1, 1, 0.3]
            tiers.append((vertices * wobble + [0, 0, height * (0.16 + 0.155 * k)], faces))
        green = tuple(int(c * rng.uniform(0.85, 1.2)) for c in (36, 66, 42))
        return [Part(trunk, "bark", "tree"), Part(meshes.join(*tiers), "needles", "tree", green, jitter=0.25)]
    if winter:
        bars = [trunk]
        _branch(bars, rng, np.array([0, 0, height * 0.4]), np.array([0, 0, 1.0]), height * 0.3, 0.016 * height, 3)
        return [Part(meshes.join(*bars), "bark", "tree", (92, 78, 66))]
    crown = height * 0.34
    clumps = []
    for _ in range(int(rng.integers(9, 14))):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        centre = direction * crown * rng.uniform(0.35, 0.75) * [1, 1, 0.8] + [0, 0, height * 0.66]
        clumps.append(meshes.move(meshes.blob(crown * rng.uniform(0.36, 0.55), rng), centre))
    green = ((50, 90, 40), (66, 104, 44), (44, 84, 52), (86, 108, 46))[rng.integers(4)]
    return [Part(trunk, "bark", "tree"), Part(meshes.join(*clumps), "foliage", "tree", green, jitter=0.3)]


def _branch(bars: list, rng, start, direction, length: float, radius: float, depth: int) -> None:
    """Bare winter branches, by halves."""
    end = start + direction * length
    bars.append(meshes.between(start, end, max(radius, 0.02), 4))
    if depth == 0:
        return
    for _ in range(3):
        bend = direction + rng.normal(0, 0.55, 3)
        _branch(bars, rng, end, bend / np.linalg.norm(bend), length * rng.uniform(0.55, 0.75), radius * 0.55, depth - 1)


def bush(thing: dict, air: float, lights_on: bool, winter: bool = False) -> list[Part]:
    """A low round shrub."""
    rng = np.random.default_rng(thing["seed"])
    clumps = [
        meshes.move(meshes.blob(rng.uniform(0.4, 0.7), rng), (rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), 0.35))
        for _ in range(4)
    ]
    colour = (104, 88, 66) if winter else (62, 96, 46)
    return [Part(meshes.join(*clumps), "bark" if winter else "foliage", "tree", colour, jitter=0.25)]


def furniture(thing: dict, air: float, lights_on: bool) -> list[Part]:
    """bench, bin (bare metal), sign (bare metal back), fence, railing, statue, container."""
    kind = thing["kind"]
    bar = meshes.between
    if kind == "bench":
        seat = meshes.join(
            meshes.move(meshes.box(1.6, 0.45, 0.06), (0, 0, 0.44)),
            meshes.move(meshes.box(1.6, 0.06, 0.4), (0, -0.22, 0.55)),
        )
        feet = meshes.join(*(meshes.move(meshes.box(0.08, 0.4, 0.44), (x, 0, 0)) for x in (-0.7, 0.7)))
        return [Part(seat, "wood", "furniture"), Part(feet, "steel", "furniture", (60, 60, 62))]
    if kind == "bin":
        return [Part(meshes.cylinder(0.3, 0.95, 10), "aluminium", "furniture")]
    if kind == "sign":
        plate = meshes.move(meshes.box(0.85, 0.05, 0.85), (0, 0, 2.0))
        colour = ((190, 30, 34), (30, 80, 170), (210, 176, 40))[thing["seed"] % 3]
        return [
            Part(bar((0, 0.05, 0), (0, 0.05, 2.8), 0.05), "aluminium", "furniture"),
            Part(plate, "aluminium", "furniture"),
            Part(meshes.move(meshes.box(0.8, 0.02, 0.8), (0, -0.04, 2.02)), "paint", "furniture", colour),
        ]
    if kind == "container":
        colour = ((130, 60, 44), (46, 84, 120), (70, 104, 76))[thing["seed"] % 3]
        return [Part(meshes.box(2.4, 5.8, 2.5), "steel", "furniture", colour)]
    if kind == "statue":
        block = meshes.box(1.0, 1.0, 1.2)
        figure = meshes.move(meshes.ellipsoid(0.32, 0.28, 0.95, 2), (0, 0, 2.0))
        return [Part(block, "concrete", "furniture"), Part(figure, "steel", "furniture", (84, 96, 84))]
    rails = [bar((-2, 0, z), (2, 0, z), 0.04, 5) for z in (0.5, 1.0)]
    rails += [bar((x, 0, 0), (x, 0, 1.05), 0.05, 5) for x in (-2, -1, 0, 1, 2)]
    return [Part(meshes.join(*rails), "wood" if kind == "fence" else "aluminium", "furniture")]
