"""A record's pictures as arrays: hand-computed grey values, crops, depths; files that cannot be read."""

import numpy as np
import pytest
from PIL import Image

from v2ir_lib.data import reading
from v2ir_lib.data.reading import grey_range, histogram, measure, read_infrared, read_pair, read_visible, to_8_bit
from v2ir_lib.errors import UserError
from v2ir_lib.records import Record


def record(**known) -> Record:
    return Record(**{"id": "a", "group": "a", "visible": "v.png", "infrared": "i.png", **known})


def test_grey_range_is_where_the_percentiles_lie():
    """1,000 pixels 0..999: the smallest value that 5 pixels do not exceed is 4; of 995 pixels 994."""
    assert grey_range(histogram(np.arange(1000).reshape(20, 50))) == (4, 994)
    spiked = np.full(1000, 300)
    spiked[:2], spiked[-2:] = 0, 60000  # two dead and two hot pixels of a thousand are not the scene
    assert grey_range(histogram(spiked)) == (300, 300)


def test_to_8_bit():
    values = np.array([[900, 1000, 1500, 2000, 5000]])
    assert to_8_bit(values, 1000, 2000).tolist() == [[0, 0, 128, 255, 255]]  # 127.5 rounds to even
    assert to_8_bit(np.full((2, 2), 7), 7, 7).tolist() == [[0, 0], [0, 0]]


def test_deep_infrared_is_mapped_by_the_records_range(tmp_path):
    Image.fromarray(np.array([[1000, 1510, 2020]], np.uint16)).save(tmp_path / "i.png")
    known = read_infrared(record(grey_low=1000, grey_high=1000 + 2 * 510), tmp_path)
    assert known.tolist() == [[0, 128, 255]] and known.dtype == np.uint8
    assert read_infrared(record(grey_low=0, grey_high=2550), tmp_path).tolist() == [[100, 151, 202]]
    assert read_infrared(record(), tmp_path).tolist() == [[0, 128, 255]], "no range known: its own"


def test_three_channels_become_their_mean(tmp_path):
    Image.new("RGB", (4, 3), (100, 104, 109)).save(tmp_path / "i.png")
    assert (read_infrared(record(), tmp_path) == 104).all()
    Image.new("RGBA", (4, 3), (90, 90, 90, 7)).save(tmp_path / "i.png")
    assert (read_infrared(record(), tmp_path) == 90).all(), "transparency is no grey"
    Image.new("LA", (4, 3), (60, 200)).save(tmp_path / "i.png")
    assert (read_infrared(record(), tmp_path) == 60).all()
    Image.new("1", (4, 3), 1).save(tmp_path / "i.png")
    assert (read_infrared(record(), tmp_path) == 255).all()
    Image.new("RGB", (4, 3), (30, 30, 30)).quantize(4).save(tmp_path / "i.png")
    assert (read_infrared(record(), tmp_path) == 30).all(), "a palette's colours, not its numbers"


def test_crop_takes_the_frame_off_both(tmp_path):
    for name, grey in (("v.png", 80), ("i.png", 120)):
        framed = Image.new("RGB", (84, 71), "white")
        framed.paste((grey,) * 3, (10, 11, 74, 60))
        framed.save(tmp_path / name)
    visible, infrared = read_pair(record(crop="10,11,74,60"), tmp_path)
    assert visible.shape == (49, 64, 3) and infrared.shape == (49, 64)
    assert (visible == 80).all() and (infrared == 120).all()
    for crop in ("10,11,99,60", "1,2,3", "20,0,10,5"):
        with pytest.raises(UserError, match="crop"):
            read_infrared(record(crop=crop), tmp_path)


def test_turned_photographs_stand_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    Image.new("RGB", (40, 30)).save(tmp_path / "v.jpg", exif=exif)
    assert read_visible(record(visible="v.jpg"), tmp_path).shape == (40, 30, 3)
    assert measure(str(tmp_path / "v.jpg"))[0][:2] == (30, 40), "width, height as displayed"


def test_what_cannot_be_read_is_named(tmp_path, monkeypatch):
    Image.effect_noise((90, 80), 50).save(tmp_path / "i.png")
    content = (tmp_path / "i.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("x")
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    cases = (("cut.png", "cut short"), ("text.png", "not a picture"), ("none.png", "gone"), ("float.tif", "floating"))
    for name, word in cases:
        with pytest.raises(UserError, match=f"{name}.*{word}"):
            read_infrared(record(infrared=name), tmp_path)
    with pytest.raises(UserError, match="infrared alone"):
        read_visible(record(visible=""), tmp_path)
    monkeypatch.setattr(reading, "MAX_PIXELS", 90 * 80 - 1)
    with pytest.raises(UserError, match=r"i.png.*90×80 pixels"):
        read_infrared(record(), tmp_path)
    assert "90×80" in measure(str(tmp_path / "i.png"))[0].error


def test_depth_is_the_files_own(tmp_path):
    for name, top, bits in (("a.tif", 16383, 14), ("b.tif", 16384, 16)):
        Image.fromarray(np.array([[0, top]], np.uint16)).save(tmp_path / name)
        assert measure(str(tmp_path / name), deep=True)[0].bits == bits
    Image.new("L", (4, 3)).save(tmp_path / "c.tif")
    measured, counts = measure(str(tmp_path / "c.tif"), deep=True)
    assert (measured.bits, measured.low, counts) == (8, -1, None)
