"""Black-body anchors, contrasts and the order of things at night."""

import numpy as np
import pytest

from v2ir_lib.world.materials import DAY_AIR, MATERIALS, NIGHT_AIR, linear_to_srgb, srgb_to_linear
from v2ir_lib.world.physics import SUN, band_radiance, brightness_temperature, planck_in_band

ANCHORS = {  # W/m²/sr, in-band radiance of a black body
    "mwir": {280: 0.861, 300: 1.866, 333: 5.528, 373: 16.19, 573: 412.9},
    "lwir": {280: 39.69, 300: 54.93, 333: 86.77, 373: 136.6, 573: 545.2},
}


@pytest.mark.parametrize("band", ANCHORS)
def test_in_band_radiance_meets_the_anchors(band):
    for kelvin, expected in ANCHORS[band].items():
        assert planck_in_band(band, kelvin) == pytest.approx(expected, rel=1e-3)


def test_a_band_that_is_off_by_five_percent_misses_the_anchors():
    from v2ir_lib.world.physics import radiance_below

    wrong = radiance_below(14e-6, 300) - radiance_below(8.4e-6, 300)
    assert wrong != pytest.approx(ANCHORS["lwir"][300], rel=1e-3)


def test_contrast_at_300_kelvin_is_larger_in_mwir():
    contrast = {band: np.log(planck_in_band(band, 300.5) / planck_in_band(band, 299.5)) for band in ANCHORS}
    assert contrast["mwir"] == pytest.approx(0.036, abs=0.001)
    assert contrast["lwir"] == pytest.approx(0.015, abs=0.002)


def test_table_agrees_with_the_series_and_inverts():
    kelvin = np.linspace(220, 420, 37)
    for band in ANCHORS:
        assert band_radiance(band, kelvin) == pytest.approx(planck_in_band(band, kelvin), rel=1e-4)
        assert brightness_temperature(band, planck_in_band(band, kelvin)) == pytest.approx(kelvin, abs=0.01)


def test_sunlight_reflected_at_a_tenth():
    expected = {"nir": 7.8, "swir": 8.3, "mwir": 0.69, "lwir": 0.05}
    assert {band: 0.1 * SUN[band] / np.pi for band in SUN} == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "name, day, night",
    [
        ("asphalt", 60, 30),
        ("concrete", 48, 25),
        ("grass", 38, 20),
        ("brick", 45, 22),
        ("sand", 52, 15),
        ("paint", 55, 10),
    ],
)
def test_materials_reach_their_reference_temperatures(name, day, night):
    row = MATERIALS[name]
    assert DAY_AIR + 0.4 * row.night + row.sun == pytest.approx(day, abs=3)
    assert NIGHT_AIR + row.night == pytest.approx(night, abs=7)


def test_srgb_curve_round_trip_and_middle():
    value = np.linspace(0, 1, 101)
    assert linear_to_srgb(srgb_to_linear(value)) == pytest.approx(value, abs=1e-6)
    assert srgb_to_linear(np.array(0.5)) == pytest.approx(0.21404, abs=1e-4)
