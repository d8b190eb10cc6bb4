"""What surfaces are made of: colour, reflectance and emissivity by band, and how they warm and cool.

LWIR emissivities of the common materials are 300 K means of the HADAR material library; NIR and SWIR reflectances, MWIR
emissivities and the temperatures are plausible estimates, chosen so that a clear summer day at 30 °C and a clear summer
night at 20 °C give the temperatures that the tutorial quotes.
"""

from dataclasses import dataclass

import numpy as np

DAY_AIR, NIGHT_AIR = 30.0, 20.0  # °C, of the reference day and night


@dataclass(frozen=True)
class Material:
    """One surface. `night`: kelvin above the air on a clear night; `sun`: kelvin that full summer sun adds."""

    name: str
    srgb: tuple[int, int, int]
    nir: float
    swir: float
    mwir: float  # emissivity
    lwir: float  # emissivity
    night: float
    sun: float
    finish: str = "diffuse"  # diffuse | gloss (painted, wet) | mirror (glass, bare metal, water)

    @property
    def albedo(self) -> np.ndarray:
        """Linear RGB reflectance, (3,)."""
        return srgb_to_linear(np.array(self.srgb) / 255.0)


def srgb_to_linear(value: np.ndarray) -> np.ndarray:
    """Undo the sRGB curve; values in [0, 1] (IEC 61966-2-1)."""
    value = np.asarray(value, dtype=np.float64)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(value: np.ndarray) -> np.ndarray:
    """The sRGB curve; values are clipped to [0, 1]."""
    value = np.clip(value, 0, 1)
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)


_ROWS = [
    # name          sRGB             NIR   SWIR  εMW   εLW    night  sun   finish
    Material("asphalt", (70, 70, 72), 0.12, 0.18, 0.94, 0.962, 10.0, 26.0),
    Material("concrete", (165, 160, 150), 0.35, 0.40, 0.93, 0.970, 5.0, 15.0),
    Material("grass", (80, 120, 50), 0.45, 0.22, 0.95, 0.915, 0.0, 8.0),
    Material("dry_grass", (150, 140, 85), 0.40, 0.35, 0.94, 0.915, 0.0, 12.0),
    Material("foliage", (50, 90, 40), 0.48, 0.25, 0.95, 0.942, 1.5, 2.0),
    Material("needles", (36, 66, 42), 0.38, 0.18, 0.95, 0.950, 1.5, 2.0),
    Material("bark", (85, 68, 52), 0.30, 0.35, 0.94, 0.940, 3.0, 6.0),
    Material("soil", (120, 95, 70), 0.30, 0.38, 0.92, 0.930, 6.0, 18.0),
    Material("sand", (200, 180, 140), 0.45, 0.55, 0.80, 0.900, -5.0, 24.0),
    Material("snow", (236, 240, 246), 0.80, 0.12, 0.98, 0.985, -3.0, 0.5),
    Material("water", (50, 75, 90), 0.03, 0.01, 0.97, 0.943, -2.0, 0.0, "mirror"),
    Material("glass", (60, 75, 85), 0.08, 0.08, 0.90, 0.860, -8.0, 3.0, "mirror"),
    Material("paint", (150, 150, 150), 0.35, 0.30, 0.88, 0.924, -4.0, 26.0, "gloss"),
    Material("aluminium", (190, 190, 192), 0.80, 0.85, 0.30, 0.502, -3.0, 4.0, "mirror"),
    Material("steel", (110, 90, 80), 0.30, 0.40, 0.80, 0.793, -1.0, 6.0),
    Material("skin", (205, 160, 130), 0.55, 0.10, 0.97, 0.971, 0.0, 0.0),
    Material("fur", (120, 90, 60), 0.45, 0.30, 0.95, 0.950, 0.0, 2.0),
    Material("clothing", (90, 90, 100), 0.50, 0.50, 0.90, 0.944, 0.0, 4.0),
    Material("brick", (150, 75, 60), 0.35, 0.45, 0.90, 0.912, 4.0, 13.0),
    Material("plaster", (205, 196, 178), 0.50, 0.50, 0.91, 0.930, 3.0, 9.0),
    Material("roof", (120, 70, 55), 0.35, 0.40, 0.91, 0.930, -3.0, 26.0),
    Material("wood", (130, 95, 60), 0.45, 0.50, 0.91, 0.920, 0.0, 10.0),
    Material("tyre", (30, 30, 30), 0.05, 0.05, 0.93, 0.912, 0.0, 14.0),
    Material("exhaust", (90, 90, 90), 0.30, 0.35, 0.80, 0.800, 0.0, 2.0),
    Material("lamp", (240, 240, 235), 0.60, 0.50, 0.90, 0.900, 0.0, 2.0),
    Material("marking", (225, 225, 220), 0.55, 0.55, 0.92, 0.950, 8.0, 18.0),
]

MATERIALS = {row.name: row for row in _ROWS}
