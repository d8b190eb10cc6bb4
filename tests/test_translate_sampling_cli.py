"""`v2ir translate` with other samplers, guidance, seeds and tiles: what it writes, records and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from v2ir_lib.cli import main
from v2ir_lib.diffusion.jobs import image_seed
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.diffusion.settings import Sampling


@pytest.fixture
def translate(pipeline, pipeline_folder, capsys, monkeypatch, tmp_path, photograph):
    """Run the command on one picture, a.png; returns exit code and the last line of stderr."""
    monkeypatch.setattr(DiffV2IRPipeline, "from_pretrained", lambda folder, **_: pipeline)
    (tmp_path / "in").mkdir()
    Image.fromarray(photograph).save(tmp_path / "in" / "a.png")

    def run(*options, out="out"):
        places = [str(tmp_path / "in"), str(tmp_path / out)]
        fixed = ["--model", str(pipeline_folder), "--device", "cpu", "--steps", "2"]
        code = main(["translate", *places, *fixed, *map(str, options)])
        return code, capsys.readouterr().err.strip().replace("\r", "\n").split("\n")[-1]

    return run


def note(folder: Path) -> dict:
    return json.loads((folder / "a.json").read_text())


def test_the_note_says_how_and_how_makes_the_picture_again(translate, tmp_path, pipeline, photograph):
    options = "--sampler heun --order released --guidance-from 5 --guidance-to 0.2 --rescale 0.7 --s-segments 3"
    assert translate(*options.split(), "--size", 64)[0] == 0
    found = note(tmp_path / "out")
    how = Sampling("heun", "released", guidance_from=5.0, guidance_to=0.2, rescale=0.7, size=64)
    assert Sampling(**found["sampling"]) == how and found["scheduler"] == "HeunDiscreteScheduler"
    assert found["working_size"] == [80, 48] and found["unet_evaluations"] == 1 + 3 + 3
    settings = {name: found[name] for name in ("steps", "s_text", "s_visible", "s_segments")}
    again = pipeline(photograph, prompt=found["prompt"], seed=found["image_seed"], how=how, **settings)
    assert np.array_equal(np.asarray(again.images[0]), np.asarray(Image.open(tmp_path / "out/a.png")))


def test_a_call_without_options_records_the_papers(translate, tmp_path):
    assert translate()[0] == 0
    found = note(tmp_path / "out")
    assert Sampling(**found["sampling"]) == Sampling() and found["scheduler"] == "EulerAncestralDiscreteScheduler"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "a.png"]


def test_several_seeds(translate, tmp_path, pipeline, photograph):
    assert translate("--seeds", 3, "--seed", 7)[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "a.png", "a.spread.png"]
    found = note(tmp_path / "out")
    seeds = [image_seed(7, "a.png", number) for number in range(3)]
    assert found["image_seeds"] == seeds and len(set(seeds)) == 3 and seeds[0] == image_seed(7, "a.png")
    assert found["unet_evaluations"] == 3 * 2 * 2
    pictures = np.stack([np.asarray(pipeline(photograph, seed=one, steps=2).images[0], float) for one in seeds])
    mean, spread = (np.asarray(Image.open(tmp_path / "out" / name), float) for name in ("a.png", "a.spread.png"))
    assert np.abs(mean - pictures.mean(0)).max() <= 0.5 + 1e-3
    assert np.abs(spread - (4 * pictures.std(0, ddof=1)).clip(0, 255)).max() <= 0.5 + 1e-3
    assert found["spread"]["mean"] == pytest.approx(pictures.std(0, ddof=1).mean(), abs=1e-3)


def test_a_spread_map_never_takes_a_pictures_place(translate, tmp_path, photograph):
    Image.fromarray(photograph).save(tmp_path / "in" / "a.spread.png")
    code, said = translate("--seeds", 2)
    assert code == 2 and "a.spread.png" in said and not (tmp_path / "out").exists()
    assert translate(out="alone")[0] == 0


def test_tiles(translate, tmp_path):
    assert translate("--tile", 32, "--overlap", 8)[0] == 0
    found = note(tmp_path / "out")
    assert found["working_size"] == [64, 32] and found["size"] == [64, 40]
    assert found["unet_evaluations"] == 2 * 2 * 3 and found["sampling"]["tile"] == 32


BAD = {
    "--sampler": (["--sampler", "magic"], "unknown sampler"),
    "--order": (["--order", "random"], "unknown order"),
    "--guidance-from": (["--guidance-from", "1", "--guidance-to", "2"], "guidance-from"),
    "--rescale": (["--rescale", "2"], "rescale"),
    "--seeds": (["--seeds", "0"], "seeds must be at least 1"),
    "--size": (["--size", "0"], "size must be at least 1"),
    "--tile": (["--tile", "40"], "multiple of 16"),
    "--overlap": (["--overlap", "8"], "give the size of a tile"),
}


@pytest.mark.parametrize("option", BAD)
def test_bad_options_are_one_line(translate, tmp_path, option):
    options, said = BAD[option]
    code, line = translate(*options)
    assert code == 2 and line.startswith("error: ") and said in line and not list(tmp_path.glob("out/*.png"))
