"""One row's measurements, from files."""

import cv2
import numpy as np
import pytest
from PIL import Image

from v2ir_lib.data.audit.measure import measure_record
from v2ir_lib.records import Record


@pytest.mark.parametrize("framed", ["visible", "infrared", "both"])
def test_a_frame_does_not_hide_an_offset(view, tmp_path, framed):
    """The frame's own edges agree at offset 0 and are stronger than anything in the picture."""
    wide = np.clip(view(9, 160, 220), 40, 200)
    pictures = {"visible": wide[20:140, 20:180], "infrared": wide[20:140, 13:173]}  # moved 7 pixels to the right
    for name, picture in pictures.items():
        picture = picture.copy()
        if framed in (name, "both"):
            picture[:12], picture[-12:], picture[:, :16], picture[:, -16:] = 255, 255, 255, 255
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    row = measure_record(Record("a", "g", "visible.png", "infrared.png"), str(tmp_path))
    assert row.offset.x == pytest.approx(7, abs=0.6) and row.offset.y == pytest.approx(0, abs=0.6)
    assert row.offset.clear


def test_pictures_of_different_shape_have_no_offset(view, tmp_path):
    Image.fromarray(view(1)).save(tmp_path / "v.png")
    Image.fromarray(cv2.resize(view(1), (96, 96))).save(tmp_path / "i.png")
    row = measure_record(Record("a", "g", "v.png", "i.png"), str(tmp_path))
    assert row.offset is None and row.infrared.width == 96 and row.visible.width == 128
