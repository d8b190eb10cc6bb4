"""The doctor finds what is there, and notices what is wrong."""

import json

import pytest

from v2ir_lib import doctor
from v2ir_lib.cli import main


@pytest.fixture(scope="module")
def report():
    return doctor.examine()


def test_the_report_is_json_and_describes_this_machine(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["mitsuba"] is True
    assert report["versions"]["torch"].startswith("2.11.")
    assert 0 < report["machine"]["memory_free_gb"] <= report["machine"]["memory_gb"]
    assert report["machine"]["cores"] >= 1 and report["machine"]["threads"] >= 1


def test_what_fits_is_ordered_by_what_it_needs_and_labelled(report):
    for fit in report["fits"]:
        assert fit["basis"] in doctor.BASES
        assert fit["fits_cpu"] == (fit["needs_gb"] <= report["machine"]["memory_free_gb"]) or (
            abs(fit["needs_gb"] - report["machine"]["memory_free_gb"]) < 0.1
        )
    needs = {fit["task"].split(":")[1].split()[0]: fit["needs_gb"] for fit in report["fits"]}
    # One AdamW step of Stable Diffusion v1.5 in fp32: 13.8 GB for the UNet alone; EMA and the frozen parts on top.
    assert 13.8 + 3.4 < needs["phases"] < 20


def test_it_is_shown_and_its_exit_code_follows_the_problems(report, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda: report | {"problems": []})
    assert main(["doctor"]) == 0
    assert "nothing is missing" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "examine", lambda: report | {"problems": [{"what": "a hole", "mend": "a patch"}]})
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "a hole" in said and "a patch" in said
    assert main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"]


@pytest.mark.parametrize(
    "torch, torchvision, pair",
    [
        ("2.11.0", "0.26.0", True),
        ("2.11.0+cpu", "0.26.0+cpu", True),
        ("2.13.0", "0.26.0", False),
        ("2.9.1", "0.24.1", True),
    ],
)
def test_published_pairs(torch, torchvision, pair):
    assert doctor._pair(torch, torchvision) is pair


def test_a_wrong_version_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda name: "2.13.0" if name == "torch" else "0.26.0")
    problems = []
    doctor._versions(problems)
    said = " ".join(problem["what"] for problem in problems)
    assert "torch is 2.13.0, tested with 2.11.0" in said
    assert "were not published as a pair" in said


def test_truncated_weights_are_a_problem(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    (tmp_path / "config.json").write_text("{}")
    assert not doctor._whole(tmp_path)
    weights = tmp_path / "model.safetensors"
    save_file({"x": np.zeros(100, np.float32)}, weights)
    assert doctor._whole(tmp_path)
    weights.write_bytes(weights.read_bytes()[:-8])
    assert not doctor._whole(tmp_path)
