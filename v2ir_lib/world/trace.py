"""What Mitsuba 3 finds by tracing rays: what each pixel sees, where the sun and the lamps reach, how open the sky is.

All five bands share these few maps, so that one trace serves every band, and pictures of different bands align exactly.
"""

from dataclasses import dataclass

import numpy as np

from v2ir_lib.world.assemble import Assembly
from v2ir_lib.world.scene import Camera, Scene

SIDE = 192  # pixels, of the visible picture
FINE = 2 * SIDE  # what each pixel sees is sampled at 2 x 2 points
LAMP_INTENSITY = 60.0  # W/sr of Light.power 1, in the units where the sun's irradiance is 1


@dataclass(frozen=True)
class Trace:
    """Maps of one scene. Fine maps are (2·SIDE)², the others SIDE²; `face` is −1 where the sky is seen."""

    rays: np.ndarray  # (FINE, FINE, 3) unit directions
    face: np.ndarray  # (FINE, FINE) int32
    distance: np.ndarray  # (FINE, FINE) metres, infinite for the sky
    sun: np.ndarray  # (SIDE, SIDE) cos θ where the sun reaches, else 0
    sun_before: np.ndarray  # the same, an hour and a half earlier: the ground remembers
    sky: np.ndarray  # (SIDE, SIDE) share of the sky that is open, weighted by the cosine: 0 … 1
    lamps: np.ndarray  # (SIDE, SIDE) irradiance from lamps and headlights
    mirrored: np.ndarray | None  # (SIDE, SIDE) int32: the face seen in a mirror on the ground, −1 for the sky


def camera_rays(camera: Camera, side: int) -> np.ndarray:
    """Unit directions through the pixel centres, (side, side, 3), row 0 on top."""
    forward, right, up = camera_frame(camera)
    steps = np.tan(np.radians(camera.fov) / 2) * (2 * (np.arange(side) + 0.5) / side - 1)
    rays = forward + steps[None, :, None] * right - steps[:, None, None] * up
    return (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).astype(np.float32)


def camera_frame(camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forward, right and up, each (3,)."""
    forward = np.subtract(camera.target, camera.origin)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return forward, right, np.cross(right, forward)


def sun_direction(elevation: float, azimuth: float) -> np.ndarray:
    """Unit vector towards the sun, (3,)."""
    return np.array([np.cos(elevation) * np.sin(azimuth), np.cos(elevation) * np.cos(azimuth), np.sin(elevation)])


def _mitsuba():
    import mitsuba

    if mitsuba.variant() is None:
        mitsuba.set_variant("scalar_rgb")
    return mitsuba


class Tracer:
    """One scene loaded into Mitsuba: white, matt surfaces, since colour and shine are applied afterwards, by band."""

    def __init__(self, assembly: Assembly, camera: Camera):
        self.mi, self.camera = _mitsuba(), camera
        self.mesh = self._mesh(assembly.vertices, assembly.faces)
        self.transform = self.mi.ScalarTransform4f

    def _mesh(self, vertices: np.ndarray, faces: np.ndarray):
        properties = self.mi.Properties()
        white = {"type": "twosided", "nested": {"type": "diffuse", "reflectance": {"type": "rgb", "value": 1.0}}}
        properties["bsdf"] = self.mi.load_dict(white)
        mesh = self.mi.Mesh("scene", len(vertices), len(faces), props=properties)
        parameters = self.mi.traverse(mesh)
        parameters["vertex_positions"] = vertices.astype(np.float32).ravel()
        parameters["faces"] = faces.astype(np.uint32).ravel()
        parameters.update()
        return mesh

    def _sensor(self, camera: Camera, side: int, samples: int):
        view = self.transform().look_at(
            origin=list(map(float, camera.origin)), target=list(map(float, camera.target)), up=[0.0, 0.0, 1.0]
        )
        film = {
            "type": "hdrfilm",
            "width": side,
            "height": side,
            "rfilter": {"type": "box"},
            "pixel_format": "luminance",
        }
        sensor = {
            "type": "perspective",
            "fov": float(camera.fov),
            "to_world": view,
            "film": film,
            "near_clip": 0.05,
            "far_clip": 1e4,
            "sampler": {"type": "stratified", "sample_count": samples, "jitter": samples > 1},
        }
        return self.mi.load_dict(sensor)

    def _scene(self, **emitters):
        return self.mi.load_dict({"type": "scene", "mesh": self.mesh, **emitters})

    def _light(self, samples: int, seed: int, choices: int = 1, **emitters) -> np.ndarray:
        """Radiance of the white scene under these emitters, first bounce only, (SIDE, SIDE).

        Each of the `samples` of a pixel looks at `choices` of the emitters, drawn at random.
        """
        integrator = self.mi.load_dict(
            {"type": "direct", "emitter_samples": choices, "bsdf_samples": 0, "hide_emitters": True}
        )
        sensor = self._sensor(self.camera, SIDE, samples)
        image = self.mi.render(self._scene(**emitters), sensor=sensor, integrator=integrator, seed=seed)
        return np.array(image)[..., 0]

    def faces(self, camera: Camera, side: int) -> tuple[np.ndarray, np.ndarray]:
        """What the rays through the pixel centres meet: faces (−1: none) and distances in metres, both (side, side)."""
        integrator = self.mi.load_dict({"type": "aov", "aovs": "face:prim_index,distance:depth"})
        sensor = self._sensor(camera, side, 1)
        image = np.array(self.mi.render(self._scene(), sensor=sensor, integrator=integrator, seed=0))
        face, distance = image[..., -2].round().astype(np.int32), image[..., -1]
        return np.where(distance > 0, face, -1), np.where(distance > 0, distance, np.inf)

    def sun(self, elevation: float, azimuth: float, samples: int = 4) -> np.ndarray:
        """cos θ of the sunlight that reaches each pixel, zero in shadow."""
        if elevation <= 0:
            return np.zeros((SIDE, SIDE), dtype=np.float32)
        towards = sun_direction(elevation, azimuth)
        sun = {
            "type": "directional",
            "direction": [float(-v) for v in towards],
            "irradiance": {"type": "rgb", "value": float(np.pi)},
        }
        return self._light(samples, 1, sun=sun)

    def sky(self) -> np.ndarray:
        """Openness of the sky, 0 … 1; noisy (4 samples), to be smoothed."""
        return self._light(4, 2, sky={"type": "constant", "radiance": {"type": "rgb", "value": 1.0}})

    def lamps(self, lights) -> np.ndarray:
        """Irradiance from the lamps and headlights; noisy where there are many, to be smoothed."""
        if not lights:
            return np.zeros((SIDE, SIDE), dtype=np.float32)
        emitters = {}
        for number, light in enumerate(lights):
            intensity = {"type": "rgb", "value": float(light.power * LAMP_INTENSITY * np.pi)}
            if light.towards is None:
                emitters[f"light{number}"] = {
                    "type": "point",
                    "position": list(map(float, light.at)),
                    "intensity": intensity,
                }
            else:
                view = self.transform().look_at(
                    origin=list(map(float, light.at)), target=list(map(float, light.towards)), up=[0.0, 0.0, 1.0]
                )
                emitters[f"light{number}"] = {
                    "type": "spot",
                    "to_world": view,
                    "intensity": intensity,
                    "cutoff_angle": 34.0,
                    "beam_width": 14.0,
                }
        return self._light(4, 3, choices=3, **emitters)


def _flipped(camera: Camera) -> Camera:
    """The camera's image in the ground plane. Its picture is upside down."""
    (x, y, z), (u, v, w) = camera.origin, camera.target
    return Camera((x, y, -z), (u, v, -w), camera.fov)


def trace(scene: Scene, assembly: Assembly, infrared: bool = True, mirror: bool = False) -> Trace:
    """Trace one scene; `mirror` adds what a mirror on the ground would show (water, wet roads)."""
    tracer = Tracer(assembly, scene.camera)
    face, distance = tracer.faces(scene.camera, FINE)
    rays = camera_rays(scene.camera, FINE)
    elevation, azimuth = scene.sun
    cloudy = scene.weather in ("overcast", "fog")
    sun = tracer.sun(0.0 if cloudy else elevation, azimuth)
    before = sun
    if infrared and sun.any():  # one sample: it is seen through the ground's own warmth alone, at half the resolution
        before = tracer.sun(elevation * 0.9 + 0.05, azimuth - 0.4, samples=1)
    mirrored = None
    if mirror:
        objects = Tracer(Assembly(assembly.vertices, assembly.faces[2:], *_rest(assembly)), scene.camera)
        seen, _ = objects.faces(_flipped(scene.camera), SIDE)
        mirrored = np.where(seen >= 0, seen + 2, -1)[::-1]
    lamps = tracer.lamps(assembly.lights)
    if assembly.lights:
        lamps = smooth(lamps, distance[::2, ::2], assembly, face[::2, ::2], scales=(1, 2))
    sky = smooth(tracer.sky(), distance[::2, ::2], assembly, face[::2, ::2])
    return Trace(rays, face, distance, sun, before, np.clip(sky, 0, 1), lamps, mirrored)


def _rest(assembly: Assembly) -> tuple:
    return assembly.part[2:], assembly.parts, assembly.instances, assembly.lights, assembly.ghosts


def face_normals(assembly: Assembly) -> np.ndarray:
    """Unit normals, (F, 3); their sign is not to be relied on."""
    a, b, c = (assembly.vertices[assembly.faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    return (normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def smooth(
    noisy: np.ndarray, distance: np.ndarray, assembly: Assembly, face: np.ndarray, scales=(1, 2, 4)
) -> np.ndarray:
    """Average over neighbours on the same surface: an edge-avoiding à-trous filter of a few scales, in pixels.

    Source: Dammertz et al. 2010.
    """
    normal = face_normals(assembly)[face]
    depth = np.where(np.isfinite(distance), distance, 1e4).astype(np.float32)
    value = noisy.astype(np.float32)
    for step in scales:
        total, weight = value.copy(), np.ones_like(value)
        # Each pair of neighbours once: what is alike from here to there is alike from there to here.
        for dy, dx in ((0, step), (step, -step), (step, 0), (step, step)):
            here, there = _neighbours(dy, dx)
            alike = np.abs(np.einsum("ijk,ijk->ij", normal[here], normal[there])) ** 8
            difference = np.abs(depth[here] - depth[there]) / (0.04 * step)
            for one, other in ((here, there), (there, here)):
                w = alike * np.exp(-difference / depth[one])
                total[one] += w * value[other]
                weight[one] += w
        value = total / weight
    return value


def _neighbours(dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Two views of an image in which each pixel meets the one dy ≥ 0 rows below and dx columns to the right of it."""
    rows, columns = (slice(None, -dy or None), slice(dy, None)), (slice(None, -abs(dx) or None), slice(abs(dx), None))
    if dx < 0:
        columns = columns[::-1]
    return (rows[0], columns[0]), (rows[1], columns[1])
