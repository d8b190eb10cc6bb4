"""Which picture becomes which file, and with which seed, before any is translated."""

import shutil
from pathlib import Path

import pytest

from v2ir_lib.diffusion.translate import image_seed, plan
from v2ir_lib.errors import UserError


@pytest.fixture
def album(tmp_path) -> Path:
    """Three files called pictures, one of them in a sub-folder: a plan does not open them."""
    folder = tmp_path / "in"
    (folder / "night").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "night/c.png"):
        (folder / name).write_bytes(b"")
    return folder


def test_two_inputs_of_one_name_do_not_overwrite_each_other(album, tmp_path):
    for name in ("a.jpg", "A.bmp", "a.jpg.png"):
        shutil.copy(album / "a.png", album / name)
    jobs = plan(album, tmp_path / "out")
    targets = {job.name: job.target.relative_to(tmp_path / "out").as_posix() for job in jobs}
    assert len({target.lower() for target in targets.values()}) == len(jobs) == 6
    assert targets["b.jpg"] == "b.png" and targets["a.png"] == "a.png.png" and targets["A.bmp"] == "A.bmp.png"


def test_an_output_that_holds_inputs_is_refused(album, tmp_path):
    nested = tmp_path / "outer" / "x"
    shutil.copytree(album, nested)
    shutil.copytree(album, nested / "x")
    with pytest.raises(UserError, match="overwritten"):
        plan(nested, tmp_path / "outer")


def test_image_seeds():
    seeds = {image_seed(seed, name) for seed in range(4) for name in ("a.png", "b.png", "x/a.png")}
    assert len(seeds) == 12 and all(0 <= seed < 2**48 for seed in seeds)
    assert image_seed(0, "a.png") == 217954049148580, "a seed written into a note must stay the same for ever"
