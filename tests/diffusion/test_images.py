"""Whatever a picture file holds, it becomes RGB of the right size, or one line that says why not."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from v2ir_lib.diffusion import images
from v2ir_lib.errors import UserError


@pytest.fixture
def ramp():
    """uint16 (40, 64), 12 bits of it used."""
    return np.linspace(0, 4095, 40 * 64).reshape(40, 64).astype(np.uint16)


def test_eight_bit_kinds(photograph, tmp_path):
    picture = Image.fromarray(photograph)
    for mode, suffix, tolerance in (("RGB", "png", 0), ("RGB", "bmp", 0), ("CMYK", "tif", 2), ("YCbCr", "tif", 3)):
        path = tmp_path / f"{mode}.{suffix}"
        picture.convert(mode).save(path)
        found = images.read_image(path)
        assert found.dtype == np.uint8 and found.shape == photograph.shape
        assert np.abs(found.astype(int) - photograph).max() <= tolerance, mode
    grey = np.asarray(picture.convert("L"))
    picture.convert("L").save(tmp_path / "grey.png")
    assert np.array_equal(images.read_image(tmp_path / "grey.png"), np.stack([grey] * 3, -1))
    picture.convert("P").save(tmp_path / "palette.png")
    assert np.array_equal(images.read_image(tmp_path / "palette.png"), np.asarray(picture.convert("P").convert("RGB")))
    picture.convert("1").save(tmp_path / "bits.png")
    assert set(np.unique(images.read_image(tmp_path / "bits.png"))) <= {0, 255}


def test_transparent_pixels_are_white(photograph, tmp_path):
    picture = Image.fromarray(photograph).convert("RGBA")
    picture.putalpha(Image.fromarray(np.where(np.arange(64) < 32, 0, 255).astype(np.uint8)[None].repeat(40, 0)))
    for mode in ("RGBA", "LA"):
        picture.convert(mode).save(tmp_path / f"{mode}.png")
        found = images.read_image(tmp_path / f"{mode}.png")
        assert (found[:, :32] == 255).all() and (found[:, 32:] != 255).any()
    palette = Image.new("P", (20, 20), 0)
    palette.putpalette([10, 20, 30, 200, 0, 0])
    palette.putpixel((3, 4), 1)
    palette.save(tmp_path / "p.png", transparency=0)
    found = images.read_image(tmp_path / "p.png")
    assert found[0, 0].tolist() == [255] * 3 and found[4, 3].tolist() == [200, 0, 0]


def test_exif_turns_the_picture(photograph, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(photograph).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(images.read_image(tmp_path / "turned.png"), np.rot90(photograph, -1))


def test_deep_pictures_use_the_whole_range(ramp, tmp_path):
    """12 bits in a 16-bit file must come out neither black nor saturated, in every container."""
    Image.fromarray(ramp).save(tmp_path / "grey.png")
    Image.fromarray(ramp).save(tmp_path / "grey.tif")
    Image.fromarray(ramp.astype(np.float32) / 4095).save(tmp_path / "float.tif")
    for name, kind in (("colour.png", np.uint16), ("colour.tif", np.uint16), ("colourfloat.tif", np.float32)):
        cv2.imwrite(str(tmp_path / name), np.stack([ramp] * 3, -1).astype(kind))
    expected = np.clip(np.linspace(-0.005, 1.005, ramp.size) / 1.0, 0, 1).reshape(ramp.shape) * 255
    for path in sorted(tmp_path.iterdir()):
        found = images.read_image(path)
        assert found.shape == (40, 64, 3) and found.dtype == np.uint8, path.name
        assert np.abs(found[..., 0] - expected).max() < 3, path.name


def test_deep_colour_keeps_its_channels(ramp, tmp_path):
    colour = np.stack([ramp, ramp // 2, ramp * 0], axis=-1)
    cv2.imwrite(str(tmp_path / "rgb.png"), colour[..., ::-1])
    found = images.read_image(tmp_path / "rgb.png").reshape(-1, 3)[-1]
    assert found[0] > found[1] > found[2] == 0


def test_constant_deep_picture(tmp_path):
    Image.fromarray(np.full((20, 20), 900, np.uint16)).save(tmp_path / "flat.tif")
    assert len(np.unique(images.read_image(tmp_path / "flat.tif"))) == 1


def bad_files(folder, photograph):
    """Name → the file's content that must be refused, and a word of the reason."""
    Image.fromarray(photograph).save(folder / "whole.jpg")
    Image.fromarray(photograph).save(folder / "whole.png")
    nan = np.ones((20, 20), np.float32)
    nan[3, 4] = np.nan
    Image.fromarray(nan).save(folder / "nan.tif")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    Image.new("RGB", (20000, 10)).save(folder / "line.png")
    Image.new("RGB", (2000, 20)).save(folder / "strip.png")
    Image.new("1", (10000, 8500)).save(folder / "huge.png")
    for suffix in ("jpg", "png"):
        content = (folder / f"whole.{suffix}").read_bytes()
        (folder / f"cut.{suffix}").write_bytes(content[: len(content) // 2])
        (folder / f"whole.{suffix}").unlink()
    (folder / "text.png").write_text("this is not a picture")
    (folder / "text.tif").write_text("this is not a picture")
    (folder / "empty.jpg").write_bytes(b"")
    return {
        "nan.tif": "NaN",
        "dot.png": "at least 16",
        "line.png": "at least 16",
        "strip.png": "8:1",
        "huge.png": "megapixels",
        "cut.jpg": "truncated",
        "cut.png": "truncated",
        "text.png": "not a picture",
        "text.tif": "not a picture",
        "empty.jpg": "not a picture",
        "absent.png": "no such file",
    }


def test_bad_files_are_one_line_that_names_them(photograph, tmp_path):
    for name, word in bad_files(tmp_path, photograph).items():
        with pytest.raises(UserError) as caught:
            images.read_image(tmp_path / name)
        message = str(caught.value)
        assert name in message and word.lower() in message.lower() and "\n" not in message, message


@pytest.mark.parametrize("height, width", [(96, 96), (211, 320), (1080, 1920), (500, 80), (16, 128)])
def test_working_size(height, width):
    h, w = images.working_size(height, width, side=96, multiple=16)
    assert h % 16 == w % 16 == 0
    assert 0.6 < h * w / 96**2 < 1.6
    assert abs(np.log(h / w) - np.log(height / width)) < 0.35
    assert images.working_size(96, 96, 96, 16) == (96, 96)


def test_reading_size():
    assert images.reading_size(211, 320, 192) == (127, 192)
    assert images.reading_size(10, 2000, 192)[0] >= 1


def test_to_model_and_back(photograph):
    tensor = images.to_model([photograph])
    assert tensor.shape == (1, 3, 40, 64) and tensor.min() >= -1 and tensor.max() <= 1
    back = images.to_grey(tensor[0, 0], 40, 64)
    assert back.mode == "L" and np.array_equal(np.asarray(back), photograph[..., 0])
    assert images.to_grey(torch.full((8, 8), 3.0), 20, 30).size == (30, 20)
    assert np.asarray(images.to_grey(torch.full((8, 8), 3.0), 20, 30)).min() == 255
