"""Temperature of every surface, and the radiance that reaches the sensor in each of the four bands.

MWIR and LWIR: L = τ [ε B(T) + (1 − ε)(L_env + E_sun cos θ / π)] + (1 − τ) B(T_air). NIR and SWIR: L = ρ (E_sun cos θ +
E_sky + E_lamps) / π, dimmed and veiled by the haze.
"""

import numpy as np

from v2ir_lib.world import BANDS
from v2ir_lib.world.light import Light, clouds, reflected_light, thermal_sky
from v2ir_lib.world.physics import ZERO_CELSIUS, band_radiance
from v2ir_lib.world.scene import Scene
from v2ir_lib.world.surfaces import Surfaces, coarser, finer, openness, schlick
from v2ir_lib.world.trace import Trace

HAZE = {"nir": 0.9, "swir": 0.6, "mwir": 0.35, "lwir": 0.25}  # a fog's extinction, as a share of that in visible light
NOON = 0.85  # cos θ on level ground in full summer sun, which the materials' `sun` stands for


def temperature(scene: Scene, light: Light, trace: Trace, surfaces: Surfaces) -> np.ndarray:
    """Kelvin on the fine grid; the sky's pixels hold its apparent temperature's stand-in, the air."""
    winter = 0.6 if scene.season == "winter" else 1.0
    covered = {"clear": 1.0, "rain": 0.6, "overcast": 0.45, "fog": 0.35}[scene.weather]
    keep = {"day": 0.4, "dusk": 0.8, "night": 1.0}[scene.time] * covered * winter
    sunlit = finer(0.65 * trace.sun + 0.35 * trace.sun_before) / NOON
    if scene.weather in ("overcast", "fog"):
        sunlit = finer(trace.sky)
    warmed = light.strength * sunlit
    if scene.time == "dusk":
        warmed = warmed + 0.22 * covered * winter  # what is left of the day
    rule = scene.air + surfaces.night * keep + surfaces.sun * warmed
    celsius = np.where(np.isnan(surfaces.celsius), rule, surfaces.celsius) + surfaces.extra
    return np.where(surfaces.sky, scene.air, celsius) + ZERO_CELSIUS


def band_images(scene: Scene, light: Light, trace: Trace, surfaces: Surfaces, kelvin: np.ndarray) -> np.ndarray:
    """In-band radiance at the sensor, float32 (4, 96, 96), W/m²/sr, in the order of `BANDS`."""
    images = [_reflective(scene, light, trace, surfaces, band, index) for index, band in enumerate(BANDS[:2])]
    images += [_thermal(scene, light, trace, surfaces, kelvin, band, index) for index, band in enumerate(BANDS[2:])]
    return np.stack([coarser(image, 4) for image in images]).astype(np.float32)


def _reflective(scene: Scene, light: Light, trace: Trace, surfaces: Surfaces, band: str, index: int) -> np.ndarray:
    sun, sky, lamp = reflected_light(scene, light, band)
    open_sky = finer(trace.sky)
    irradiance = sun * finer(trace.sun) + sky * (open_sky + 0.25 * (1 - open_sky)) + lamp * finer(trace.lamps)
    reflectance = surfaces.reflectance[..., index]
    radiance = reflectance * irradiance / np.pi
    cover = clouds(scene, trace.rays) if surfaces.sky.any() else np.zeros(trace.face.shape)
    clear = scene.weather == "clear"
    zenith = sky / np.pi * ((0.15 + 1.2 * cover) if clear else (0.7 + 0.5 * cover)) + 0.05 * sun / np.pi * cover
    shiny = surfaces.finish >= 2
    if shiny.any():
        share = schlick(surfaces, trace.rays, 0.05)
        mirrored = share * sky / np.pi * openness(surfaces, open_sky)
        radiance = np.where(shiny, radiance * (1 - share) + mirrored, radiance)
    if band == "nir" or scene.halogen:  # an incandescent filament is as bright in SWIR; an LED is dark
        radiance = radiance + surfaces.glow[..., 3] * 6.0
    radiance = np.where(surfaces.sky, zenith, radiance)
    through = np.exp(-HAZE[band] * light.extinction * np.minimum(trace.distance, 2000.0))
    return radiance * through + (1 - through) * (sky / np.pi * 1.1 + lamp * 0.05)


def _thermal(
    scene: Scene, light: Light, trace: Trace, surfaces: Surfaces, kelvin: np.ndarray, band: str, index: int
) -> np.ndarray:
    open_sky = finer(trace.sky)
    air = band_radiance(band, scene.air + ZERO_CELSIUS)
    around = band_radiance(band, scene.air + 2.0 + ZERO_CELSIUS)
    ups = np.linspace(0.0, 1.0, 65)
    curve = thermal_sky(scene, band, ups)
    mean_sky = (curve * ups).sum() / ups.sum()  # weighted by the cosine
    environment = open_sky * mean_sky + (1 - open_sky) * around
    emissivity = surfaces.emissivity[..., index]
    mirror = surfaces.finish >= 2
    if mirror.any():
        up = surfaces.mirror[..., 2]
        free = openness(surfaces, open_sky) * (up > -0.02)
        specular = free * np.interp(np.maximum(up, 0), ups, curve) + (1 - free) * around
        environment = np.where(mirror, specular, environment)
        share = schlick(surfaces, trace.rays, 0.0)
        emissivity = np.where(mirror, emissivity * (1 - 0.8 * share), emissivity)
    sun, _, _ = reflected_light(scene, light, band)
    reflected = environment + sun * finer(trace.sun) / np.pi
    radiance = emissivity * band_radiance(band, kelvin) + (1 - emissivity) * reflected
    radiance = np.where(surfaces.sky, np.interp(np.maximum(trace.rays[..., 2], 0), ups, curve), radiance)
    if surfaces.sky.any() and scene.weather in ("clear", "rain"):
        cover = clouds(scene, trace.rays) * surfaces.sky
        warm = band_radiance(band, scene.air - 12.0 + ZERO_CELSIUS)
        radiance = radiance + 0.6 * cover * np.maximum(warm - radiance, 0)
    reach = np.where(np.isfinite(trace.distance), trace.distance, 0.0)
    clear = np.exp(-(HAZE[band] * light.extinction + 0.0006) * reach)
    return radiance * clear + (1 - clear) * air
