"""What each pixel looks at: the rows of the part table and of the ground, gathered into images."""

from dataclasses import dataclass

import numpy as np

from v2ir_lib.world import CLASS_INDEX
from v2ir_lib.world.assemble import Assembly
from v2ir_lib.world.ground import ground_at
from v2ir_lib.world.scene import Scene
from v2ir_lib.world.trace import Trace, face_normals


@dataclass
class Surfaces:
    """Properties of the visible surface, (H, W) or (H, W, C), on the fine grid; meaningless where `sky` is true."""

    sky: np.ndarray  # bool
    albedo: np.ndarray  # (…, 3) linear RGB
    reflectance: np.ndarray  # (…, 2) NIR, SWIR
    emissivity: np.ndarray  # (…, 2) MWIR, LWIR
    night: np.ndarray
    sun: np.ndarray
    celsius: np.ndarray
    extra: np.ndarray
    glow: np.ndarray  # (…, 4)
    finish: np.ndarray
    kind: np.ndarray
    instance: np.ndarray
    wet: np.ndarray
    normal: np.ndarray  # (…, 3), turned towards the camera
    mirror: np.ndarray  # (…, 3) direction in which a mirror here would look


def surfaces_of(scene: Scene, assembly: Assembly, trace: Trace) -> Surfaces:
    """Gather materials, ground and geometry for every fine pixel."""
    face, parts = trace.face, assembly.parts
    sky = face < 0
    row = assembly.part[np.maximum(face, 0)]
    hashed = np.maximum(face, 0).astype(np.int64) * 2654435761 % 1024
    grain = hashed.astype(np.float32) / 512 - 1  # one value a face, −1 … 1
    jitter = (1 + parts.jitter[row] * grain)[..., None]
    result = Surfaces(
        sky=sky,
        albedo=np.clip(parts.albedo[row] * jitter, 0, 0.95),
        reflectance=np.clip(parts.reflectance[row] * (1 + 0.6 * (jitter - 1)), 0, 0.95),
        emissivity=parts.emissivity[row],
        night=parts.night[row],
        sun=parts.sun[row],
        celsius=parts.celsius[row],
        extra=parts.extra[row],
        glow=parts.glow[row],
        finish=parts.finish[row],
        kind=parts.kind[row],
        instance=parts.instance[row],
        wet=np.zeros(face.shape, dtype=np.float32),
        normal=face_normals(assembly)[np.maximum(face, 0)],
        mirror=trace.rays,
    )
    result.kind[sky] = CLASS_INDEX["sky"]
    result.instance[sky] = 0
    _lay_ground(result, scene, assembly, trace, (row == 0) & ~sky)
    facing = (result.normal * trace.rays).sum(-1, keepdims=True)
    result.normal = np.where(facing > 0, -result.normal, result.normal)
    result.mirror = trace.rays - 2 * (result.normal * trace.rays).sum(-1, keepdims=True) * result.normal
    return result


def _lay_ground(surfaces: Surfaces, scene: Scene, assembly: Assembly, trace: Trace, here: np.ndarray) -> None:
    if not here.any():
        return
    rays = trace.rays[here]
    reach = np.minimum(-scene.camera.origin[2] / np.minimum(rays[:, 2], -1e-4), 400.0)
    points = np.asarray(scene.camera.origin) + reach[:, None] * rays
    ground = ground_at(scene, assembly.ghosts, points[:, 0], points[:, 1])
    for name in ("albedo", "reflectance", "emissivity", "night", "sun", "extra", "kind", "wet"):
        getattr(surfaces, name)[here] = getattr(ground, name)
    surfaces.finish[here] = np.where(ground.water, 2, 0)


def schlick(surfaces: Surfaces, rays: np.ndarray, at_normal: float) -> np.ndarray:
    """Fresnel reflectance by Schlick's approximation, from `at_normal` head-on to 1 at grazing incidence."""
    cosine = np.clip(-(surfaces.normal * rays).sum(-1), 0, 1)
    return at_normal + (1 - at_normal) * (1 - cosine) ** 5


def openness(surfaces: Surfaces, sky: np.ndarray) -> np.ndarray:
    """How free the view is in the mirror direction, 0 … 1: the open sky against what a free wall or floor would see."""
    return np.clip(sky / np.maximum(0.5 + 0.5 * surfaces.normal[..., 2], 0.2), 0, 1)


def finer(image: np.ndarray) -> np.ndarray:
    """Each pixel of a SIDE² map as 2 × 2 pixels of the fine grid."""
    return image.repeat(2, axis=0).repeat(2, axis=1)


def coarser(image: np.ndarray, times: int) -> np.ndarray:
    """Means over blocks of `times` × `times` pixels."""
    height, width = image.shape[0] // times, image.shape[1] // times
    return image.reshape(height, times, width, times, *image.shape[2:]).mean(axis=(1, 3))
