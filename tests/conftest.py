"""A whole pipeline of the tiny architecture's classes with small random weights, made once for all tests."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach for the network
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors: two threads wait for one another

from pathlib import Path

import numpy as np
import pytest
from random_models import random_components


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory) -> Path:
    """A self-contained folder of a random pipeline that works at 48 pixels. Read only: copy it to break it."""
    from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline

    folder = tmp_path_factory.mktemp("model") / "random"
    pipeline = DiffV2IRPipeline(**random_components(), image_size=48, reading_size=48, caption_tokens=6, steps=3)
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pipeline(pipeline_folder):
    """That pipeline, loaded once."""
    from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline

    return DiffV2IRPipeline.from_pretrained(pipeline_folder)


@pytest.fixture
def photograph() -> np.ndarray:
    """A picture with some structure, uint8 (40, 64, 3)."""
    y, x = np.mgrid[:40, :64]
    picture = np.stack([4 * x, 6 * y, 255 - 4 * x], axis=-1).astype(np.uint8)
    picture[10:30, 20:40] = (200, 30, 30)
    return picture
