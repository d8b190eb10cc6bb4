"""Triangles: a handful of shapes as (vertices (N, 3) in metres, faces (M, 3)), all with z up, and how to move them."""

import math
from functools import cache
from itertools import pairwise

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray]


def join(*meshes: Mesh) -> Mesh:
    """One mesh from several."""
    offsets = np.cumsum([0] + [len(vertices) for vertices, _ in meshes[:-1]])
    return (
        np.concatenate([vertices for vertices, _ in meshes]),
        np.concatenate([faces + offset for (_, faces), offset in zip(meshes, offsets, strict=True)]),
    )


def move(mesh: Mesh, at=(0.0, 0.0, 0.0), yaw: float = 0.0, scale=1.0) -> Mesh:
    """Scale, turn by `yaw` radians about z, then shift to `at` (metres)."""
    vertices, faces = mesh
    cos, sin = np.cos(yaw), np.sin(yaw)
    turned = (vertices * scale) @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    return turned + np.asarray(at, dtype=np.float64), faces


def tilt(mesh: Mesh, angle: float, axis: str = "x") -> Mesh:
    """Turn by `angle` radians about the x or y axis."""
    vertices, faces = mesh
    cos, sin = np.cos(angle), np.sin(angle)
    if axis == "x":
        matrix = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
    else:
        matrix = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    return vertices @ matrix, faces


def box(x: float, y: float, z: float) -> Mesh:
    """A box of x × y × z metres that stands on z = 0, centred in x and y."""
    corners = np.array([[i, j, k] for k in (0, 1) for j in (-0.5, 0.5) for i in (-0.5, 0.5)]) * (x, y, z)
    faces = [
        (0, 2, 3), (0, 3, 1), (4, 5, 7), (4, 7, 6), (0, 1, 5), (0, 5, 4),
        (2, 6, 7), (2, 7, 3), (0, 4, 6), (0, 6, 2), (1, 3, 7), (1, 7, 5),
    ]  # fmt: skip
    return corners, np.array(faces)


def extrude(profile: np.ndarray, width: float) -> Mesh:
    """A convex (y, z) outline, (N, 2), anticlockwise seen from +x, drawn out over x from −width/2 to width/2."""
    n = len(profile)
    left = np.column_stack([np.full(n, -width / 2), profile])
    right = np.column_stack([np.full(n, width / 2), profile])
    i, j = np.arange(n), (np.arange(n) + 1) % n
    sides = np.concatenate([np.column_stack([i, i + n, j]), np.column_stack([j, i + n, j + n])])
    fan = np.column_stack([np.zeros(n - 2, int), np.arange(1, n - 1), np.arange(2, n)])
    return np.concatenate([left, right]), np.concatenate([sides, fan[:, ::-1], fan + n])


def cylinder(radius: float, height: float, sides: int = 10, top: float | None = None) -> Mesh:
    """A closed cylinder on z = 0; with `top` (a radius), a cone or its stump."""
    top = radius if top is None else top
    circle, faces = _cylinder_parts(sides)
    vertices = np.zeros((2 * sides + 2, 3))
    vertices[:sides, :2], vertices[sides : 2 * sides, :2] = circle * radius, circle * top
    vertices[sides : 2 * sides, 2] = vertices[-1, 2] = height
    return vertices, faces


@cache
def _cylinder_parts(sides: int) -> tuple[np.ndarray, np.ndarray]:
    """The unit circle, (sides, 2), and the faces of every cylinder with so many sides."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    i, j = np.arange(sides), (np.arange(sides) + 1) % sides
    faces = np.concatenate([
        np.column_stack([i, j, i + sides]), np.column_stack([j, j + sides, i + sides]),
        np.column_stack([j, i, np.full(sides, 2 * sides)]),
        np.column_stack([i + sides, j + sides, np.full(sides, 2 * sides + 1)]),
    ])  # fmt: skip
    return circle, faces


def between(start, end, radius: float, sides: int = 6) -> Mesh:
    """A round bar from `start` to `end` (3-vectors, metres)."""
    start = np.asarray(start, float)
    x, y, z = (float(b - a) for a, b in zip(start, end, strict=True))
    length = math.hypot(x, y, z)
    x, y, z = x / length, y / length, z / length
    # a unit vector across the bar, written out: thousands of twigs and spokes a scene pass through here
    u, v, w = (y, -x, 0.0) if abs(z) < 0.9 else (0.0, z, -y)
    size = math.hypot(u, v, w)
    u, v, w = u / size, v / size, w / size
    frame = np.array([(u, v, w), (y * w - z * v, z * u - x * w, x * v - y * u), (x, y, z)])
    vertices, faces = cylinder(radius, length, sides)
    return vertices @ frame + start, faces


@cache
def _icosphere(level: int) -> Mesh:
    golden = (1 + 5**0.5) / 2
    vertices = [(-1, golden, 0), (1, golden, 0), (-1, -golden, 0), (1, -golden, 0)]
    vertices += [(0, -1, golden), (0, 1, golden), (0, -1, -golden), (0, 1, -golden)]
    vertices += [(golden, 0, -1), (golden, 0, 1), (-golden, 0, -1), (-golden, 0, 1)]
    faces = [
        (0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11), (1, 5, 9), (5, 11, 4), (11, 10, 2), (10, 7, 6),
        (7, 1, 8), (3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8), (3, 8, 9), (4, 9, 5), (2, 4, 11), (6, 2, 10),
        (8, 6, 7), (9, 8, 1),
    ]  # fmt: skip
    vertices = np.array(vertices, float)
    faces = np.array(faces)
    for _ in range(level):
        edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        unique, inverse = np.unique(edges, axis=0, return_inverse=True)
        middle = len(vertices) + inverse.reshape(3, -1).T  # (M, 3): the middles of ab, bc, ca
        vertices = np.concatenate([vertices, vertices[unique].mean(axis=1)])
        (a, b, c), (ab, bc, ca) = faces.T, middle.T
        faces = np.concatenate([np.column_stack(f) for f in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))])
    return vertices / np.linalg.norm(vertices, axis=1, keepdims=True), faces


def ellipsoid(x: float, y: float, z: float, level: int = 1) -> Mesh:
    """An ellipsoid with the semi-axes x, y, z (metres) about the origin."""
    vertices, faces = _icosphere(level)
    return vertices * (x, y, z), faces


def blob(radius: float, rng: np.random.Generator, level: int = 1, rough: float = 0.22) -> Mesh:
    """A ball whose surface is roughened at random: a clump of leaves, a bush."""
    vertices, faces = _icosphere(level)
    return vertices * (radius * (1 + rng.uniform(-rough, rough, (len(vertices), 1)))), faces


def ring(radius: float, thickness: float, sides: int = 14) -> Mesh:
    """A wheel's rim in the y-z plane, standing on z = 0."""
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    points = np.column_stack([np.zeros(sides + 1), np.cos(angle) * radius, np.sin(angle) * radius + radius])
    return join(*(between(a, b, thickness, 4) for a, b in pairwise(points)))


def quad(corners: np.ndarray) -> Mesh:
    """A rectangle from its four corners, (4, 3), in order round the edge."""
    return np.asarray(corners, float), np.array([(0, 1, 2), (0, 2, 3)])
