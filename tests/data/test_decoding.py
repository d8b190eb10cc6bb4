"""JPEGs of a stream decoded at the smallest scale that training can use: sizes, closeness, pairs that stay aligned."""

import io
import json
import pickle
from functools import partial

import cv2
import numpy as np
import pytest
from PIL import Image

from v2ir_lib.data.decoding import decode_picture, decode_row
from v2ir_lib.data.reading import read_infrared, read_visible
from v2ir_lib.data.shards import write_shards
from v2ir_lib.data.stream import ShardReader, ShardStream
from v2ir_lib.errors import UserError
from v2ir_lib.records import Record, write_manifest

CLOSE = 1.5  # grey levels, mean over pixels: between a reduced decode and the means of the whole one's blocks


def scene(width: int, height: int) -> np.ndarray:
    """uint8 (H, W, 3): blobs of some twenty pixels, so that half a pixel of an eighth matters."""
    draw = np.random.default_rng([width, height])
    coarse = draw.integers(0, 256, (height // 20 + 2, width // 20 + 2, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def stored(picture: np.ndarray, kind: str = "JPEG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **({"quality": 92} if kind == "JPEG" else {}) | options)
    return file.getvalue()


def row(visible: bytes, infrared: bytes, crop: str = "") -> dict:
    record = {"id": "a/1"} | ({"crop": crop} if crop else {})
    return {"id": "a/1", "visible": visible, "infrared": infrared, "record": json.dumps(record).encode(), "words": b"x"}


def whole(content: bytes) -> np.ndarray:
    return decode_picture(content, 10_000)


def block_means(picture: np.ndarray, by: int) -> np.ndarray:
    """float64, of blocks of by × by pixels; sides must be multiples."""
    height, width = picture.shape[:2]
    return picture.reshape(height // by, by, width // by, by, -1).mean(axis=(1, 3)).squeeze()


def apart(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize(
    "size, at_least, expected",
    [
        ((320, 256), 32, (40, 32)),  # exactly an eighth
        ((320, 256), 33, (80, 64)),  # one more than an eighth has
        ((256, 320), 33, (64, 80)),  # the shorter side counts
        ((320, 256), 64, (80, 64)),
        ((320, 256), 65, (160, 128)),
        ((320, 256), 128, (160, 128)),
        ((320, 256), 129, (320, 256)),
        ((320, 256), 1000, (320, 256)),  # smaller than wanted: whole, never enlarged
        ((320, 249), 32, (40, 32)),  # 31.1 is rounded up, as decoders do
        ((320, 248), 32, (80, 62)),
        ((7, 5), 1, (2, 2)),  # an eighth would be less than a pixel
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes(size, at_least, expected, channels):
    picture = scene(*size)
    found = decode_picture(stored(picture if channels == 3 else picture[..., 0]), at_least)
    assert found.shape == (*expected[::-1], *([3] if channels == 3 else [])) and found.dtype == np.uint8


@pytest.mark.parametrize("at_least, by", [(128, 2), (64, 4), (32, 8)])
@pytest.mark.parametrize("grey", [False, True])
def test_close_to_the_whole_picture_resized(at_least, by, grey):
    """Means of blocks; one pixel of the whole picture aside, or zoomed by one block, is more than is allowed."""
    picture = scene(320, 256)[..., 0] if grey else scene(320, 256)
    content = stored(picture)
    full, found = whole(content), decode_picture(content, at_least)
    assert apart(full, picture) < CLOSE and apart(block_means(full, by), found) < CLOSE
    for axis in (0, 1):
        assert apart(block_means(np.roll(full, 1, axis), by), found) > 2 * CLOSE
    zoomed = cv2.resize(full[:-by, :-by], (320, 256), interpolation=cv2.INTER_LINEAR)
    assert apart(block_means(zoomed, by), found) > 2 * CLOSE


@pytest.mark.parametrize("at_least, by", [(10_000, 1), (128, 2), (64, 4), (32, 8)])
def test_pairs_stay_aligned(at_least, by):
    """Infrared is the visible picture's green, inverted: still so, pixel by pixel, at every scale."""
    picture = scene(320, 256)
    found = decode_row(row(stored(picture, subsampling=0), stored(255 - picture[..., 1])), at_least)
    assert found["visible"].shape == (256 // by, 320 // by, 3) and found["infrared"].shape == (256 // by, 320 // by)
    green = 255 - found["visible"][..., 1].astype(float)
    assert apart(green, found["infrared"]) < CLOSE < 2 * CLOSE < apart(np.roll(green, 1, 1), found["infrared"])
    assert found["id"] == "a/1" and found["words"] == b"x" and isinstance(found["record"], bytes)


def test_pictures_of_two_sizes_keep_their_ratio():
    """Alone, visible could be an eighth and infrared a quarter; as a pair, both are a quarter."""
    visible, infrared = stored(scene(320, 256)), stored(scene(160, 128)[..., 0])
    assert decode_picture(visible, 32).shape[:2] == decode_picture(infrared, 32).shape[:2] == (32, 40)
    found = decode_row(row(visible, infrared), 32)
    assert found["visible"].shape == (64, 80, 3) and found["infrared"].shape == (32, 40)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_16_bit_partner_is_exact_and_keeps_the_pair_whole(kind):
    raw = np.random.default_rng(0).integers(0, 1 << 16, (256, 320), np.uint16)
    assert np.array_equal(decode_picture(stored(raw, kind), 32), raw)
    found = decode_row(row(stored(scene(320, 256)), stored(raw, kind)), 32)
    assert found["infrared"].dtype == np.uint16 and np.array_equal(found["infrared"], raw)
    assert found["visible"].shape == (256, 320, 3)


def test_other_formats_keep_their_channels():
    picture = scene(64, 48)
    for kept in (picture, picture[..., 0], np.dstack([picture, picture[..., :1]])):
        assert np.array_equal(decode_picture(stored(kept, "PNG"), 8), kept)
    file = io.BytesIO()
    Image.fromarray(picture).quantize(16).save(file, "PNG")
    assert decode_picture(file.getvalue(), 8).shape == (48, 64, 3), "a palette's numbers are no picture"


def test_infrared_alone():
    found = decode_row({k: v for k, v in row(b"", stored(scene(64, 48)[..., 0])).items() if k != "visible"}, 12)
    assert found["infrared"].shape == (12, 16) and "visible" not in found


def test_a_turned_picture_is_whole_as_a_viewer_shows_it(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = stored(scene(64, 48), exif=exif)
    (tmp_path / "v.jpg").write_bytes(content)
    seen = read_visible(Record("a", "a", "v.jpg", ""), tmp_path)
    assert seen.shape == (64, 48, 3) and np.array_equal(decode_picture(content, 8), seen)
    found = decode_row(row(content, stored(scene(48, 64)), crop="0,0,48,60"), 8)  # fits as displayed, not as stored
    assert np.array_equal(found["visible"], seen[:60])


@pytest.mark.parametrize(
    "crop, at_least, by",
    [
        ("40,16,312,240", 28, 8),  # 272×224, all edges multiples of eight
        ("40,16,320,250", 28, 8),  # the picture's own edges need not be
        ("40,16,312,240", 29, 4),  # the crop's shorter side counts, not the picture's
        ("100,20,300,240", 20, 4),  # as DroneVehicle's frame of 100 pixels: an eighth would cut it in the middle
        ("10,20,300,240", 20, 2),
        ("11,20,300,240", 20, 1),
    ],
)
def test_crops(crop, at_least, by):
    """What is cut out of the reduced picture is what the crop means in the whole one."""
    content = stored(scene(320, 250)[..., 1])
    found = decode_row(row(content, content, crop), at_least)
    left, top, right, bottom = (int(edge) for edge in crop.split(","))
    part = whole(content)[top:bottom, left:right]
    assert found["visible"].shape == found["infrared"].shape == (-(-part.shape[0] // by), part.shape[1] // by)
    rows = part.shape[0] // by
    assert apart(block_means(part[: rows * by], by), found["infrared"][:rows]) < CLOSE


def test_whole_pictures_are_those_of_the_importers(tmp_path):
    """Without a reduction the stream gives what `read_visible` and `read_infrared` give."""
    visible, infrared = stored(scene(64, 48)), stored(scene(64, 48)[..., 0], "PNG")
    (tmp_path / "v.jpg").write_bytes(visible)
    (tmp_path / "i.png").write_bytes(infrared)
    record = Record("a", "a", "v.jpg", "i.png", crop="3,4,60,40")
    found = decode_row(row(visible, infrared, record.crop), 8)
    assert np.array_equal(found["visible"], read_visible(record, tmp_path))
    assert np.array_equal(found["infrared"], read_infrared(record, tmp_path))


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda content: content[: len(content) // 2], "the file is cut short"),
        (lambda content: b"no picture at all", "not a picture"),
        (lambda content: b"", "not a picture"),
        (lambda content: content[:200] + bytes(100), r"."),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_damaged_pictures(spoil, said, kind):
    good = stored(scene(64, 48)[..., 0], kind)
    with pytest.raises(UserError, match=rf"^cannot read the picture: {said}[^\n]*$"):
        decode_picture(spoil(good), 8)
    with pytest.raises(UserError, match=rf"^cannot read the infrared picture of a/1: {said}[^\n]*$"):
        decode_row(row(good, spoil(good)), 8)


def test_bad_settings():
    content = stored(scene(64, 48))
    for at_least in (0, -3):
        with pytest.raises(UserError, match="shorter side that training wants"):
            decode_picture(content, at_least)
    for crop, said in (("1,2,3", "must be left,top,right,bottom"), ("0,0,65,48", "lies outside its 64×48 pixels")):
        with pytest.raises(UserError, match=rf"^the visible picture of a/1: crop [^\n]*{said}"):
            decode_row(row(content, content, crop), 8)


@pytest.mark.parametrize("workers", [0, 2])
def test_in_a_stream(tmp_path, workers):
    """Through shards and worker processes; a damaged picture is one line from whatever process."""
    pictures = [scene(64 + 8 * n, 48) for n in range(5)]
    records = [Record(f"a/{n}", f"a/{n}", f"{n}.jpg", f"{n}i.jpg") for n in range(5)]
    for record, picture in zip(records, pictures, strict=True):
        (tmp_path / record.visible).write_bytes(stored(picture))
        (tmp_path / record.infrared).write_bytes(stored(picture[..., 0]))
    write_manifest(tmp_path / "m.csv", records)
    decode = pickle.loads(pickle.dumps(partial(decode_row, at_least=12)))

    def given(out: str) -> dict[str, tuple]:
        write_shards(tmp_path / "m.csv", tmp_path / out, workers=1, progress=False)
        batches = ShardStream(ShardReader(tmp_path / out)).batches(2, workers=workers, decode=decode)
        return {one["id"]: (one["visible"].shape, one["infrared"].shape) for batch in batches for one in batch}

    assert given("good") == {f"a/{n}": ((12, 16 + 2 * n, 3), (12, 16 + 2 * n)) for n in range(5)}
    (tmp_path / "3i.jpg").write_bytes(stored(pictures[3][..., 0])[:-300])
    with pytest.raises(UserError, match=r"^cannot read the infrared picture of a/3: the file is cut short$"):
        given("bad")
