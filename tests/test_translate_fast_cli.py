"""`v2ir translate --fast`: what it stands for, what it was measured as, and what it does not go with."""

import json

import pytest
from PIL import Image

from v2ir_lib.cli import main
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.diffusion.settings import FAST, PAPER_EVALUATIONS, fast
from v2ir_lib.errors import UserError
from v2ir_lib.files import repo_root
from v2ir_lib.profiles import TINY


@pytest.fixture
def translate(pipeline, pipeline_folder, capsys, monkeypatch, tmp_path, photograph):
    """Run the command on one picture into OUTPUT; exit code, last line of stderr, and the picture's note."""
    monkeypatch.setattr(DiffV2IRPipeline, "from_pretrained", lambda folder, **_: pipeline)
    Image.fromarray(photograph).save(tmp_path / "a.png")

    def run(output, *options):
        places = [str(tmp_path / "a.png"), str(tmp_path / output)]
        code = main(["translate", *places, "--model", str(pipeline_folder), "--device", "cpu", *options])
        said = capsys.readouterr().err.strip().replace("\r", "\n").split("\n")[-1]
        note = (tmp_path / output).with_suffix(".json")
        return code, said, json.loads(note.read_text()) if note.exists() else None

    return run


def test_fast_is_its_sampler_and_steps_and_costs_what_it_says(translate, tmp_path):
    code, _, note = translate("fast.png", "--fast")
    assert code == 0 and (note["sampling"]["sampler"], note["steps"]) == (FAST.sampler, FAST.steps)
    assert (note["s_text"], note["s_visible"], note["s_segments"]) == (
        TINY.guidance.s_text,
        TINY.guidance.s_visible,
        TINY.guidance.s_segments,
    ), "the evaluations are those at the tiny model's own scales"
    assert note["unet_evaluations"] == FAST.evaluations < PAPER_EVALUATIONS
    spelled = ("--sampler", FAST.sampler, "--steps", str(FAST.steps))
    assert translate("fast2.png", *spelled)[0] == 0
    # the seed is made from the picture's name, not the output's
    assert (tmp_path / "fast.png").read_bytes() == (tmp_path / "fast2.png").read_bytes()


@pytest.mark.parametrize("options", [("--steps", "20"), ("--sampler", "ddim"), ("--guidance-from", "5")])
def test_fast_and_its_parts_are_refused_together(translate, options):
    code, said, note = translate("out.png", "--fast", *options)
    assert code == 2 and said.startswith("error: ") and options[0] in said and note is None


def test_fast_is_what_was_measured():
    report = json.loads((repo_root() / "results" / "sampling.json").read_text(encoding="utf-8"))
    found = {"sampler": FAST.sampler, "steps": FAST.steps, "guided": "always", "evaluations": FAST.evaluations}
    assert report["fewest"] == found
    assert report["confirmed"]["tried"][-1]["minus_recipe"]["equal"]
    assert report["recipe"]["evaluations"] == PAPER_EVALUATIONS


def test_nothing_given_is_no_clash():
    assert fast(steps=None, sampler=None) == {"sampler": FAST.sampler, "steps": FAST.steps}
    with pytest.raises(UserError, match="--steps, --guidance-to"):
        fast(steps=20, sampler=None, guidance_to=0.0)
