"""Small pairs that look like something: blobs of several sizes, the infrared one a darker and smoother relative."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from v2ir_lib.records import Record, write_manifest


def make_view(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A grey picture with edges, uint8 (H, W)."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width), 90, np.uint8)
    for _ in range(30):
        x, y = rng.integers(0, width), rng.integers(0, height)
        w, h = rng.integers(4, 30, 2)
        cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), int(rng.integers(20, 236)), -1)
    return cv2.GaussianBlur(picture, (0, 0), 1.0)


@pytest.fixture(scope="session")
def view():
    """`make_view`."""
    return make_view


@pytest.fixture
def folder(tmp_path):
    """Write pairs {id: (visible, infrared)} and a manifest; further columns by id. Returns the manifest's path."""

    def write(pairs: dict[str, tuple[np.ndarray, np.ndarray]], **columns: dict[str, object]) -> Path:
        records = []
        for name, pictures in pairs.items():
            paths = {}
            for kind, picture in zip(("visible", "infrared"), pictures, strict=True):
                paths[kind] = f"{kind}/{name}.png"
                (tmp_path / kind).mkdir(exist_ok=True)
                Image.fromarray(picture).save(tmp_path / paths[kind])
            known = {column: values[name] for column, values in columns.items() if name in values}
            records.append(Record(**{"id": name, "group": f"scene {name}", **paths, **known}))
        write_manifest(tmp_path / "manifest.csv", records)
        return tmp_path / "manifest.csv"

    return write


@pytest.fixture
def clean(view, folder):
    """A manifest of six clean pairs of six scenes, a … f; visible in colour."""
    return folder({name: clean_pair(seed) for seed, name in enumerate("abcdef")})


def clean_pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A colour picture and its infrared relative."""
    grey = make_view(seed)
    colour = np.stack([grey, 255 - grey, grey // 2], axis=-1)
    return colour, (180 - 0.6 * cv2.GaussianBlur(grey, (0, 0), 1.5)).astype(np.uint8)


@pytest.fixture(scope="session")
def pair():
    """`clean_pair`."""
    return clean_pair
