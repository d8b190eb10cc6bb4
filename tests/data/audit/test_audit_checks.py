"""One picture at a time: decoding, colour, frames."""

import io

import numpy as np
import pytest
from PIL import Image

from v2ir_lib.data.audit.checks import (
    Unusable,
    channel_difference,
    decode,
    examine,
    find_borders,
    percentiles,
    read_file,
)


def encoded(picture, form="PNG", **options) -> bytes:
    file = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "content, code",
    [(b"hello", "unreadable"), (b"\x89PNG\r\n\x1a\n", "unreadable"), (b"<html></html>", "unreadable")],
)
def test_what_is_no_picture(content, code):
    with pytest.raises(Unusable) as caught:
        decode(content)
    assert caught.value.code == code


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_cut_file_is_truncated(view, form, part):
    content = encoded(view(1), form)
    with pytest.raises(Unusable, match="cut short") as caught:
        decode(content[: int(len(content) * part)])
    assert caught.value.code == "truncated"


def test_missing_empty_and_folder(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    for name, code in (
        ("gone.png", "missing"),
        ("link.png", "missing"),
        ("empty.png", "unreadable"),
        ("", "unreadable"),
    ):
        with pytest.raises(Unusable) as caught:
            read_file(str(tmp_path / name))
        assert caught.value.code == code


def test_deep_pictures_become_8_bit():
    values = np.linspace(7000, 9000, 100 * 100).reshape(100, 100).astype(np.uint16)
    grey, colour = decode(encoded(values))
    assert grey.dtype == np.uint8 and grey.min() == 0 and grey.max() == 255 and colour == 0
    known, _ = decode(encoded(values), grey_low=7000, grey_high=11000)
    assert known.max() == pytest.approx(255 * 2000 / 4000, abs=1)


def test_the_crop_of_the_record_comes_first(view):
    framed = np.pad(view(2), 10, constant_values=255)
    assert find_borders(framed)[0] == (10, 10, 10, 10)
    grey, _ = decode(encoded(framed), crop="10,10,138,106")
    assert np.array_equal(grey, view(2))
    with pytest.raises(Unusable, match="outside"):
        decode(encoded(framed), crop="0,0,999,9")


def test_palette_and_rotated_files_are_read_as_seen(view):
    picture = Image.fromarray(view(3))
    assert decode(encoded(picture.convert("P")))[0].shape == (96, 128)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(picture, "JPEG", exif=exif))[0].shape == (128, 96)


def test_channel_difference_by_hand():
    picture = np.full((10, 10, 3), 100, np.uint8)
    picture[..., 1] = 110
    assert channel_difference(picture) == 10
    picture[:5, :, 2] = 40  # half of the pixels: 110 − 40
    assert channel_difference(picture) == 70
    picture = np.full((20, 20, 3), 100, np.uint8)
    picture[0, :2] = (255, 0, 0)  # half a per cent: a time stamp is no colour map
    assert channel_difference(picture) == 0


def test_percentiles_are_the_smallest_value_that_so_many_do_not_exceed():
    values = np.random.default_rng(0).integers(0, 256, (50, 40), dtype=np.uint8)
    for percent in (1, 50, 99):
        assert percentiles(values, percent) == [np.percentile(values, percent, method="inverted_cdf")]


@pytest.mark.parametrize("tone", [0, 255])
@pytest.mark.parametrize("borders", [(8, 0, 0, 0), (0, 5, 0, 9), (4, 6, 8, 10), (20, 20, 20, 20)])
def test_borders_are_found_at_their_width(view, tone, borders):
    picture = np.clip(view(6), 40, 215)
    left, top, right, bottom = borders
    framed = np.pad(picture, ((top, bottom), (left, right)), constant_values=tone)
    assert find_borders(framed) == (borders, tone)


@pytest.mark.parametrize("tone", [0, 255])
@pytest.mark.parametrize("quality", [60, 85, 95])
def test_borders_survive_jpeg_up_to_the_block_that_holds_their_edge(view, tone, quality):
    framed = np.pad(np.clip(view(6), 40, 215), ((12, 20), (26, 100)), constant_values=tone)
    saved = np.asarray(Image.open(io.BytesIO(encoded(framed, "JPEG", quality=quality))))
    found, grey = find_borders(saved)
    assert abs(grey - tone) <= 3
    assert all(true - 8 < width <= true for width, true in zip(found, (26, 12, 100, 20), strict=True))


def test_a_clipped_sky_is_no_border(view):
    """It ends raggedly, at roofs and trees."""
    picture = np.clip(view(7), 60, 200)
    rng = np.random.default_rng(0)
    for x in range(picture.shape[1]):
        picture[: 20 + rng.integers(0, 30), x] = 0
    assert find_borders(picture)[0] == (0, 0, 0, 0)


def test_grey_edges_and_thin_lines_are_no_border(view):
    grey, thin = np.pad(view(8), 12, constant_values=128), np.pad(np.clip(view(8), 40, 255), 2)
    assert find_borders(grey)[0] == find_borders(thin)[0] == (0, 0, 0, 0)


def test_a_black_frame_has_no_border():
    picture = examine(np.zeros((60, 80), np.uint8), 0.0)
    assert picture.spread == 0 and picture.borders == (0, 0, 0, 0) and picture.fingerprint.shape == (24, 32)
