"""The light of the hour: sun, sky and lamps in visible light and NIR/SWIR, and the sky's thermal radiance."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from v2ir_lib.world.physics import SUN, ZERO_CELSIUS, band_radiance
from v2ir_lib.world.scene import Scene

FOG_VISIBILITY = 55.0  # metres: distance at which 5% of the contrast is left


@dataclass(frozen=True)
class Light:
    """Visible light, in units where a white wall in full sun sends out 1."""

    sun: np.ndarray  # (3,) linear RGB
    sky: np.ndarray  # (3,) mean of the sky
    lamps: np.ndarray  # (3,) per unit of lamp irradiance
    strength: float  # of the sun, 0 … 1: what warms the ground
    extinction: float  # 1/m
    haze: np.ndarray  # (3,) what fog adds


def light_of(scene: Scene) -> Light:
    """The light in `scene`, from its time and weather."""
    lamps = np.array((1.0, 0.72, 0.42) if scene.halogen else (0.95, 0.95, 0.92)) * 0.055
    cloud = {"clear": 1.0, "overcast": 0.0, "fog": 0.0, "rain": 0.35}[scene.weather]
    grey = 1.0 - cloud
    if scene.time == "day":
        sun = cloud * np.array((0.86, 0.80, 0.70))
        sky = (1 - grey) * np.array((0.22, 0.29, 0.40)) + grey * np.array((0.47, 0.49, 0.52))
    elif scene.time == "dusk":
        sun = cloud * np.array((0.42, 0.22, 0.09))
        sky = (1 - grey) * np.array((0.10, 0.09, 0.13)) + grey * np.array((0.07, 0.075, 0.10))
    else:
        sun, sky = np.zeros(3), np.array((0.0035, 0.0042, 0.0075)) * (1.4 + 0.7 * grey)
    fog = 3.0 / FOG_VISIBILITY if scene.weather == "fog" else 3.0 / 900.0 if scene.weather == "rain" else 3.0 / 3000.0
    haze = sky * 1.15 + (lamps * 0.10 if scene.time == "night" and scene.weather == "fog" else 0.0)
    strength = cloud * {"day": 1.0, "dusk": 0.25, "night": 0.0}[scene.time] + 0.18 * grey * (scene.time == "day")
    return Light(sun, sky, lamps, strength, fog, haze)


def clouds(scene: Scene, directions: np.ndarray) -> np.ndarray:
    """How much cloud lies in each direction, 0 … 1, (…,) for (…, 3)."""
    rng = np.random.default_rng([scene.seed, scene.index, 77])
    tile = (
        gaussian_filter(rng.standard_normal((128, 128)), 5, mode="wrap") * 8
        + gaussian_filter(rng.standard_normal((128, 128)), 2, mode="wrap") * 2.2
    )
    height = np.maximum(directions[..., 2], 0.03)
    u, v = directions[..., 0] / height * 9, directions[..., 1] / height * 9
    cover = {"clear": -0.45, "overcast": 1.2, "fog": 2.0, "rain": 0.7}[scene.weather] + rng.uniform(-0.3, 0.3)
    return np.clip(tile[u.astype(int) % 128, v.astype(int) % 128] + cover, 0, 1) * np.clip(height * 5, 0.25, 1)


def visible_sky(scene: Scene, light: Light, directions: np.ndarray) -> np.ndarray:
    """The sky's radiance, linear RGB (…, 3): paler at the horizon, orange about a low sun, with clouds."""
    up = np.clip(directions[..., 2], 0, 1)[..., None]
    zenith, horizon = light.sky * (0.9, 0.95, 1.1), light.sky * (1.75, 1.6, 1.35)
    if scene.weather in ("overcast", "fog"):
        zenith, horizon = light.sky * 1.1, light.sky * 1.3
    base = horizon + (zenith - horizon) * up**0.45
    if scene.time == "dusk" and scene.weather in ("clear", "rain"):
        azimuth = np.array([np.sin(scene.sun[1]), np.cos(scene.sun[1]), 0.0])
        warm = np.clip(directions @ azimuth, 0, 1)[..., None] ** 2 * np.exp(-up * 6)
        base = base + warm * np.array((0.55, 0.24, 0.08))
    if scene.time == "night":
        base = base + np.exp(-up * 9) * np.array((0.010, 0.007, 0.004))  # the town's glow
    cover = clouds(scene, directions)[..., None]
    lit = light.sky * 1.9 + light.sun * 0.35 if scene.time != "night" else light.sky * 1.8
    if scene.weather in ("overcast", "fog", "rain"):
        lit = light.sky * 1.15
    return base * (1 - 0.8 * cover) + lit * (0.8 * cover)


def sky_celsius(scene: Scene, up: np.ndarray) -> np.ndarray:
    """Apparent sky temperature in °C against the sine of elevation: air at the horizon, −40 °C at a clear zenith."""
    zenith = {"clear": -40.0, "rain": -22.0, "overcast": scene.air - 9.0, "fog": scene.air - 2.0}[scene.weather]
    zenith = min(zenith + 0.6 * (scene.air - 20.0) if scene.weather in ("clear", "rain") else zenith, scene.air)
    return scene.air + (zenith - scene.air) * np.clip(up, 0, 1) ** 0.5


def thermal_sky(scene: Scene, band: str, up: np.ndarray) -> np.ndarray:
    """The sky's thermal radiance in MWIR or LWIR, W/m²/sr, against the sine of elevation."""
    return band_radiance(band, sky_celsius(scene, up) + ZERO_CELSIUS)


def reflected_light(scene: Scene, light: Light, band: str) -> tuple[float, float, float]:
    """(sun, sky, lamp) irradiance in `band`, W/m², that stands for the visible units 1; the sky is dark beyond NIR."""
    sun = SUN[band] * light.strength * (1.0 if scene.time == "day" else 0.6)
    scattered = {"nir": 0.16, "swir": 0.05, "mwir": 0.0, "lwir": 0.0}[band]
    grey = {"nir": 0.30, "swir": 0.20, "mwir": 0.0, "lwir": 0.0}[band] * (scene.weather != "clear")
    hour = {"day": 1.0, "dusk": 0.18, "night": 0.004}[scene.time]
    if band == "swir" and scene.time == "night":
        hour = 0.02  # airglow
    lamp = {
        "nir": 0.075 if scene.halogen else 0.010,
        "swir": 0.075 if scene.halogen else 0.004,
        "mwir": 0.0,
        "lwir": 0.0,
    }[band]
    return sun, SUN[band] * (scattered + grey) * hour, SUN[band] * lamp
