"""The visible picture: light on surfaces, reflections, fog, and a camera that sees little and noisily at night."""

import numpy as np
from scipy.ndimage import gaussian_filter

from v2ir_lib.world.assemble import Assembly
from v2ir_lib.world.light import Light, visible_sky
from v2ir_lib.world.materials import linear_to_srgb
from v2ir_lib.world.scene import Scene
from v2ir_lib.world.surfaces import Surfaces, coarser, finer, openness, schlick
from v2ir_lib.world.trace import Trace, face_normals, sun_direction

LUMINANCE = np.array((0.2126, 0.7152, 0.0722))  # of linear sRGB (IEC 61966-2-1)


def visible_radiance(scene: Scene, light: Light, assembly: Assembly, trace: Trace, surfaces: Surfaces) -> np.ndarray:
    """Linear RGB, (SIDE, SIDE, 3), in units where a white wall in full sun gives 1."""
    sun, sky, lamps = (finer(image)[..., None] for image in (trace.sun, trace.sky, trace.lamps))
    bounce = (1 - sky) * 0.22 * (light.sky + 0.4 * light.sun)
    # The wall in the sun is lit by (light.sun + light.sky); matt surfaces send out albedo x irradiance.
    radiance = surfaces.albedo * (light.sun * sun + light.sky * sky + light.lamps * lamps + bounce)
    shine = np.select([surfaces.finish == 1, surfaces.finish == 2, surfaces.finish == 3], [0.04, 0.06, 0.55], 0.0)
    shine = np.maximum(shine, 0.035 * surfaces.wet)
    share = np.where(shine > 0, shine + (1 - shine) * schlick(surfaces, trace.rays, 0.0), 0)
    share = np.where((surfaces.finish == 0) & (surfaces.wet > 0), share * np.clip(surfaces.wet, 0, 1), share)[..., None]
    radiance += share * (_reflection(scene, light, assembly, trace, surfaces) - 0.5 * radiance)
    radiance += _glint(scene, light, surfaces, sun)
    radiance += surfaces.glow[..., :3]
    clear = np.exp(-light.extinction * np.minimum(trace.distance, 2000.0))[..., None]
    radiance = radiance * clear + light.haze * (1 - clear)
    directions = trace.rays[surfaces.sky]
    seen = visible_sky(scene, light, directions)
    if scene.weather == "fog":
        seen = 0.15 * seen + 0.85 * light.haze
    radiance[surfaces.sky] = seen
    return coarser(radiance, 2)


def _reflection(scene: Scene, light: Light, assembly: Assembly, trace: Trace, surfaces: Surfaces) -> np.ndarray:
    """What shines back: the sky where it is open, dim surroundings elsewhere, and the scene itself on wet ground."""
    upward = surfaces.mirror * (1, 1, 0) + np.abs(surfaces.mirror * (0, 0, 1))
    sky = visible_sky(scene, light, upward)
    dim = 0.25 * (light.sky + 0.3 * light.sun)
    free = openness(surfaces, finer(trace.sky))[..., None] * (surfaces.mirror[..., 2:] > -0.05)
    result = free * sky + (1 - free) * dim
    if trace.mirrored is not None:
        flat = (surfaces.normal[..., 2] > 0.99) & ((surfaces.finish == 2) | (surfaces.wet > 0))
        rows, columns = np.nonzero(flat)
        result[flat] = _mirror_picture(scene, light, assembly, trace)[_rippled(scene, surfaces, rows, columns)]
    return result


def _rippled(scene: Scene, surfaces: Surfaces, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in the mirror picture each fine pixel looks: waves smear it, mostly upright; a wet road more than water."""
    rng = np.random.default_rng([scene.seed, scene.index, 5])
    waves = gaussian_filter(rng.standard_normal((384, 384)), (0.7, 4.0)) * 9.0 + rng.standard_normal((384, 384)) * 1.2
    size = np.where(surfaces.finish[rows, columns] == 2, 1.3, 2.6)
    shift = waves[rows, columns] * size
    side = 0.25 * waves[columns, rows] * size
    return tuple(np.clip(at, 0, 191).astype(np.int64) for at in (rows / 2 + shift, columns / 2 + side))


def _mirror_picture(scene: Scene, light: Light, assembly: Assembly, trace: Trace) -> np.ndarray:
    """The scene upside down, simply shaded: sky, matt objects under even light, and everything that glows."""
    face = trace.mirrored
    row = assembly.part[np.maximum(face, 0)]
    towards = sun_direction(*scene.sun)
    facing = np.abs(face_normals(assembly)[np.maximum(face, 0)] @ towards)[..., None]
    even = 0.5 * light.sky + 0.5 * light.sun * facing + 0.25 * light.lamps
    picture = assembly.parts.albedo[row] * even + assembly.parts.glow[row][:, :, :3]
    rays = trace.rays[::2, ::2] * (1, 1, 0) + np.abs(trace.rays[::2, ::2] * (0, 0, 1))
    sky = visible_sky(scene, light, rays)
    blurred = np.where(face[..., None] < 0, sky, picture)
    return gaussian_filter(blurred, (1.2, 0.5, 0))


def _glint(scene: Scene, light: Light, surfaces: Surfaces, sun: np.ndarray) -> np.ndarray:
    """The sun's own reflection on paint, glass and metal."""
    if not light.sun.any():
        return 0.0
    along = np.clip(surfaces.mirror @ sun_direction(*scene.sun), 0, 1)
    return ((surfaces.finish > 0) * along**120)[..., None] * light.sun * 3.0 * (sun > 0.02)


def visible_picture(scene: Scene, radiance: np.ndarray) -> np.ndarray:
    """A camera's 8-bit sRGB picture, (SIDE, SIDE, 3): exposure within limits, bloom, shot and read noise, clipping."""
    luminance = radiance @ LUMINANCE
    key = np.minimum(luminance, np.quantile(luminance, 0.97)).mean()
    low, high = {"day": (0.5, 2.4), "dusk": (1.0, 5.0), "night": (3.0, 8.0)}[scene.time]
    gain = float(np.clip(0.22 / max(key, 1e-4), low, high))
    exposed = radiance * gain
    bright = np.minimum(np.maximum(exposed - 1.0, 0), 30.0)
    bloom = sum(
        weight * gaussian_filter(bright, (sigma, sigma, 0))
        for sigma, weight in ((1.2, 0.35), (4.0, 0.22), (11.0, 0.10))
    )
    exposed = exposed + bloom
    rng = np.random.default_rng([scene.seed, scene.index, scene.frame, 1])
    electrons = 9000.0 / gain  # that saturate a pixel at this gain
    noise = np.sqrt(np.clip(exposed, 0, 1) / electrons + (0.00045 * gain) ** 2)
    exposed = exposed + noise * rng.standard_normal(exposed.shape)
    return np.round(linear_to_srgb(exposed) * 255).astype(np.uint8)
