"""One scene, many looks; and what each look must keep."""

import numpy as np
import pytest

from v2ir_lib.errors import UserError
from v2ir_lib.world.cameras import CAMERAS, STYLE_CAMERA, TRAIN_CAMERAS, expose, get_camera
from v2ir_lib.world.physics import band_radiance


@pytest.fixture(scope="module")
def radiance():
    """A warm square before a cool gradient, in all bands."""
    kelvin = np.tile(np.linspace(275, 290, 96), (96, 1))
    kelvin[30:50, 30:50] = 306
    reflected = np.tile(np.linspace(5, 60, 96), (96, 1))
    bands = [reflected, reflected * 0.8, band_radiance("mwir", kelvin), band_radiance("lwir", kelvin)]
    return np.stack(bands).astype(np.float32)


def test_there_are_enough_and_the_style_camera_is_kept_apart():
    assert len(CAMERAS) >= 8 and {c.band for c in CAMERAS.values()} == {"nir", "swir", "mwir", "lwir"}
    assert STYLE_CAMERA not in TRAIN_CAMERAS and CAMERAS[STYLE_CAMERA].tone == "fixed"


@pytest.mark.parametrize("name", CAMERAS)
def test_same_seed_same_bytes(radiance, name):
    one, two, other = (expose(radiance, name, seed) for seed in (1, 1, 2))
    assert one.dtype == np.uint8 and one.shape == (96, 96)
    assert one.tobytes() == two.tobytes() != other.tobytes()


def test_looks_differ(radiance):
    looks = [expose(radiance, name, 0).astype(float) for name in CAMERAS]
    for i, one in enumerate(looks):
        assert all(np.abs(one - other).mean() > 1 for other in looks[i + 1 :])


@pytest.mark.parametrize("name", [n for n in CAMERAS if CAMERAS[n].band in ("mwir", "lwir")])
def test_polarity(radiance, name):
    image = expose(radiance, name, 0).astype(float)
    warmer = image[35:45, 35:45].mean() - image[60:80, 35:45].mean()
    assert (warmer < -20) if CAMERAS[name].black_hot else (warmer > 20)


def test_the_fixed_range_means_a_temperature(radiance):
    """The grey level of 306 K does not depend on what else is in the picture; under gain control it does."""
    other = radiance.copy()
    other[3, :20] = band_radiance("lwir", 330.0)

    def grey(r, name):
        return expose(r, name, 0)[35:45, 35:45].astype(float).mean()

    low, high = CAMERAS[STYLE_CAMERA].celsius
    assert grey(radiance, STYLE_CAMERA) == pytest.approx(255 * (306 - 273.15 - low) / (high - low), abs=3)
    assert grey(other, STYLE_CAMERA) == pytest.approx(grey(radiance, STYLE_CAMERA), abs=1)
    assert abs(grey(other, "lwir-drone") - grey(radiance, "lwir-drone")) > 10


def test_halo_darkens_the_surround_of_something_hot():
    flat = np.full((4, 96, 96), 40.0, dtype=np.float32)
    flat[:, 40:56, 40:56] = 48.0
    plain, halo = (expose(flat, name, 0).astype(float) for name in ("lwir-black-hot", "lwir-ferroelectric"))
    near, far = np.s_[34:38, 40:56], np.s_[2:8, 40:56]
    assert halo[near].mean() < halo[far].mean() - 5
    assert abs(plain[near].mean() - plain[far].mean()) < 5


def test_noise_has_the_stated_netd():
    kelvin = np.full((4, 96, 96), 300.0)
    radiance = np.stack([kelvin[0], kelvin[0], band_radiance("mwir", kelvin[2]), band_radiance("lwir", kelvin[3])])
    camera = CAMERAS[STYLE_CAMERA]
    frames = np.stack([expose(radiance, camera, seed) for seed in range(40)]).astype(float)
    low, high = camera.celsius
    noise = frames.std(0).mean() * (high - low) / 255
    assert noise == pytest.approx(np.hypot(camera.netd, (high - low) / 255 / 12**0.5), rel=0.6)


def test_an_unknown_camera_is_refused():
    with pytest.raises(UserError, match="polaroid"):
        get_camera("polaroid")
