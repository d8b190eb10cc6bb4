"""Infrared cameras: from radiance to the 8-bit pictures that people call "infrared".

One scene gives many looks, since cameras differ in band, in how they stretch contrast, and in their flaws. The order
is a real camera's: optics (blur), detector (pixel gains and offsets, noise), electronics (halo, contrast, polarity).
"""

import zlib
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from v2ir_lib.errors import UserError
from v2ir_lib.world import BANDS
from v2ir_lib.world.physics import SUN, ZERO_CELSIUS, band_radiance, brightness_temperature


@dataclass(frozen=True)
class Camera:
    """`tone` is how radiance becomes grey: "linear" gain control, "plateau" equalisation, or a "fixed" range of °C."""

    name: str
    band: str
    tone: str
    low: float = 1.0  # percentiles that a linear gain control maps to black and white
    high: float = 99.5
    middle: float | None = None  # grey level to which it shifts the mean; None: no shift
    plateau: float = 0.03  # share of pixels at which a histogram bin is clipped before equalisation
    celsius: tuple[float, float] = (-20.0, 60.0)  # the fixed range
    black_hot: bool = False
    blur: float = 0.4  # σ of the optics, pixels of 96
    netd: float = 0.04  # K of noise at 300 K in MWIR and LWIR; in NIR and SWIR 1 = 0.2% of full sun
    pattern: float = 0.0  # K of fixed pattern: pixel offsets, and half as much by column
    halo: float = 0.0  # a in L − a·(G_σ(L) − mean): the dark surround of hot things in ferroelectric detectors


CAMERAS = {
    camera.name: camera
    for camera in (
        Camera("nir-security", "nir", "linear", low=0.5, high=98.5, netd=1.0),
        Camera("nir-drone", "nir", "plateau", plateau=0.02, netd=0.6, blur=0.6),
        Camera("swir-ingaas", "swir", "linear", low=1.0, high=99.0, netd=0.8, pattern=0.05),
        Camera("mwir-cooled", "mwir", "linear", low=1.0, high=99.8, netd=0.02, blur=0.3),
        Camera("mwir-black-hot", "mwir", "plateau", plateau=0.02, netd=0.025, black_hot=True),
        Camera("lwir-driving", "lwir", "plateau", plateau=0.015, netd=0.06, pattern=0.04, blur=0.6),
        Camera("lwir-surveillance", "lwir", "linear", low=2.0, high=99.7, middle=96, netd=0.05, pattern=0.03),
        Camera("lwir-drone", "lwir", "linear", low=0.5, high=99.5, middle=128, netd=0.05, blur=0.7),
        Camera("lwir-ferroelectric", "lwir", "linear", low=1.0, high=99.5, netd=0.1, blur=0.8, halo=0.6),
        Camera("lwir-black-hot", "lwir", "linear", low=1.0, high=99.5, netd=0.05, black_hot=True),
        Camera("lwir-radiometric", "lwir", "fixed", celsius=(-12.0, 48.0), netd=0.04, pattern=0.02, blur=0.5),
    )
}
STYLE_CAMERA = "lwir-radiometric"  # phase 3's: its grey means a temperature, the same in every picture
TRAIN_CAMERAS = tuple(name for name in CAMERAS if name != STYLE_CAMERA)  # phases 1 and 2

PLATEAU_BINS = 1024


def get_camera(name: str) -> Camera:
    """The camera of that name; `UserError` for any other."""
    if name not in CAMERAS:
        raise UserError(f"no camera {name!r}: choose one of {', '.join(CAMERAS)}")
    return CAMERAS[name]


def expose(radiance: np.ndarray, camera: Camera | str, seed: int) -> np.ndarray:
    """Picture of a scene, uint8 (H, W), from its radiance (4, H, W) in W/m²/sr, bands in the order of `BANDS`.

    `seed` draws this picture's noise; the fixed pattern is the camera's own, the same in all of its pictures.
    """
    camera = get_camera(camera) if isinstance(camera, str) else camera
    image = np.asarray(radiance[BANDS.index(camera.band)], dtype=np.float64)
    kelvin = _radiance_of_a_kelvin(camera.band)
    image = gaussian_filter(image, camera.blur)
    if camera.pattern:
        pattern = _pattern(camera.name, image.shape)
        image = image * (1 + 0.002 * pattern) + camera.pattern * kelvin * pattern
    noise = np.random.default_rng([seed, zlib.crc32(camera.name.encode())]).standard_normal(image.shape)
    image = image + camera.netd * kelvin * noise
    if camera.halo:
        image = image - camera.halo * (gaussian_filter(image, image.shape[0] / 16) - image.mean())
    grey = _TONES[camera.tone](image, camera)
    grey = 1 - grey if camera.black_hot else grey
    return np.round(np.clip(grey, 0, 1) * 255).astype(np.uint8)


def _radiance_of_a_kelvin(band: str) -> float:
    """dB/dT at 300 K in the thermal bands; 0.2% of a white surface in full sun in the reflective ones. W/m²/sr."""
    if band in ("nir", "swir"):
        return 0.002 * SUN[band] / np.pi
    return float(band_radiance(band, 300.5) - band_radiance(band, 299.5))


def _pattern(name: str, shape: tuple[int, int]) -> np.ndarray:
    """Unit-variance pixel pattern, plus half as much by column (each column has its own amplifier)."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return rng.standard_normal(shape) + 0.5 * rng.standard_normal((1, shape[1]))


def _linear(image: np.ndarray, camera: Camera) -> np.ndarray:
    low, high = np.percentile(image, (camera.low, camera.high))
    grey = (image - low) / max(high - low, 1e-9)
    if camera.middle is not None:  # shift by at most a quarter, so that no picture drowns
        grey = grey + np.clip(camera.middle / 255 - np.clip(grey, 0, 1).mean(), -0.25, 0.25)
    return grey


def _plateau(image: np.ndarray, camera: Camera) -> np.ndarray:
    """Histogram equalisation with clipped bins: large flat areas no longer eat up the grey levels."""
    low, high = np.percentile(image, (0.2, 99.8))
    level = np.clip((image - low) / max(high - low, 1e-9) * (PLATEAU_BINS - 1), 0, PLATEAU_BINS - 1).astype(np.int64)
    share = np.bincount(level.ravel(), minlength=PLATEAU_BINS) / image.size
    # The floor keeps a little linear contrast, as cameras do, so that two populations are not torn apart.
    curve = np.cumsum(np.minimum(share, camera.plateau) + 0.35 / PLATEAU_BINS)
    return (curve / curve[-1])[level]


def _fixed(image: np.ndarray, camera: Camera) -> np.ndarray:
    celsius = brightness_temperature(camera.band, image) - ZERO_CELSIUS
    low, high = camera.celsius
    return (celsius - low) / (high - low)


_TONES = {"linear": _linear, "plateau": _plateau, "fixed": _fixed}
