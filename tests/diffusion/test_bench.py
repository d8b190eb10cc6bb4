"""The benchmark of guided sampling compares one work with itself, and says what its ratios say. No time is judged."""

import dataclasses
import importlib
import json
import time

import pytest
import torch

from v2ir_lib.files import repo_root
from v2ir_lib.profiles import FULL

pytestmark = pytest.mark.filterwarnings("ignore:prompt of")  # the random tokenizer spells, so captions are too long
RATIO = {"ratio", "interval", "quartiles", "rounds", "seconds"}


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(repo_root() / "benchmarks"))
        yield importlib.import_module("guided_sampling")


@pytest.fixture(scope="module")
def quick(benchmark, pipeline_folder, tmp_path_factory):
    path, threads = tmp_path_factory.mktemp("bench") / "bench.json", torch.get_num_threads()
    arguments = ["--quick", "--model", str(pipeline_folder), "--threads", "1", "--out", str(path)]
    assert benchmark.main(arguments) == 0
    torch.set_num_threads(threads)
    return json.loads(path.read_text())


def test_what_is_compared_is_one_work(quick):
    same = quick["tiny"]["same_work"]
    steps = quick["steps"]
    assert same["evaluations"] == {
        "four branches": 4 * steps,
        "three branches": 3 * steps,
        "ours, as InstructPix2Pix": 3 * steps,
        "diffusers": 3 * steps,
    }
    for pair in ("three_branches_from_four", "ours_from_diffusers"):
        assert same[pair]["latents"] < 1e-3 and same[pair]["grey_levels"] <= 1, "rounding, no more"


def test_a_report_has_every_ratio_or_says_why_not(quick):
    tiny = quick["tiny"]
    assert list(tiny["by_threads"]) == ["1"] and tiny["threads"] == 1
    ratios = [
        *tiny["by_threads"]["1"].values(),
        tiny["whole_pipelines_ours_over_diffusers"],
        *tiny["sampling"].values(),
    ]
    ratios.append(tiny["training_step"]["bf16_over_float32"])
    assert len(ratios) == 6 and all(set(one) >= RATIO and min(one["seconds"]) > 0 for one in ratios)
    assert tiny["cached_over_naive_training"] == tiny["peak_memory_mb"] == quick["full"] == {"skipped": "--quick"}
    assert {name: list(by) for name, by in quick["holds"].items()} == {name: ["1"] for name in quick["holds"]}
    assert quick["quick"] is True and quick["weights"] and quick["provenance"]["date"]


def test_what_cannot_be_done_is_one_line(benchmark, pipeline_folder, tmp_path, capsys):
    out = tmp_path / "bench.json"
    assert benchmark.main(["--model", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert benchmark.main(["--model", str(pipeline_folder), "--batch", "1000", "--out", str(out)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "none" in lines[0] and "--batch 1000 is too many" in lines[1] and not out.exists()


def test_verdicts(benchmark):
    def measured(skip: float, ours: float, low: float, high: float) -> dict:
        return {
            "three_branches_over_four": {"ratio": skip},
            "ours_over_diffusers_per_evaluation": {"ratio": ours, "interval": [low, high]},
        }

    cases = {
        "1": measured(0.78, 0.99, 0.98, 0.995),
        "2": measured(0.79, 1.01, 0.99, 1.02),
        "4": measured(0.71, 1, 1, 1),
    }
    found = benchmark.verdicts(cases)
    assert found["skip_within_5_percent_of_0.75"] == {"1": True, "2": False, "4": False}
    assert found["skip_saves_no_less"] == {"1": True, "2": False, "4": True}
    assert found["no_slower_than_diffusers"] == {"1": True, "2": False, "4": True}
    assert found["told_apart_from_diffusers"] == {"1": True, "2": False, "4": False}


def test_ways_take_turns_and_the_warm_up_does_not_count(benchmark, monkeypatch):
    ratios = importlib.import_module("ratios")
    ran, clock = [], iter(range(1000))
    lasts = {"ours": 3, "theirs": 4}

    def seconds(way):
        way()
        return lasts[ran[-1]] * (100 if next(clock) < 2 and ran[-1] == "ours" else 1)

    monkeypatch.setattr(ratios, "seconds", seconds)
    found = ratios.in_turn(lambda: ran.append("ours"), lambda: ran.append("theirs"), 3, "a label")
    assert ran == ["ours", "theirs", "theirs", "ours", "ours", "theirs", "theirs", "ours"]
    assert found["ratio"] == 0.75 and found["interval"] == [0.75, 0.75] == found["quartiles"]
    assert found["seconds"] == [3, 4] and found["rounds"] == 3


def test_the_interval_of_a_median(benchmark):
    """Of nine ratios: the bounds are values of the list, around the middle one, and an outlier moves nothing."""
    ratios = importlib.import_module("ratios")
    pairs = [(value, 10.0) for value in (5, 6, 7, 8, 9, 10, 11, 12, 900)]
    found = ratios.summary(pairs)
    assert found["ratio"] == 0.9 and found["quartiles"] == [0.7, 1.1]
    assert 0.5 <= found["interval"][0] < 0.9 < found["interval"][1] <= 1.2
    assert found == ratios.summary(pairs), "the same draws each time"


def test_where_compiling_fails_it_is_said(benchmark):
    ratios = importlib.import_module("ratios")

    def broken():
        raise RuntimeError("no compiler\nand much more")

    found = ratios.compiled_or_why(broken, lambda: pytest.fail("measured all the same"))
    assert found == {"skipped": "torch.compile does not work here: no compiler"}
    assert ratios.compiled_or_why(lambda: None, lambda: {"ratio": 1.0}).keys() == {"ratio", "first_run_seconds"}


def test_a_narrow_unet_is_the_wide_one_without_segments(benchmark, pipeline):
    from guided_ways import narrowed

    draw = torch.Generator().manual_seed(0)
    z, visible = torch.randn(2, 2, 4, 12, 12, generator=draw)
    text, t = torch.randn(2, 96, 32, generator=draw), torch.tensor(500)
    with torch.no_grad():
        wide = pipeline.unet(torch.cat([z, visible, torch.zeros_like(z)], 1), t, encoder_hidden_states=text).sample
        narrow = narrowed(pipeline.unet)(torch.cat([z, visible], 1), t, encoder_hidden_states=text).sample
    torch.testing.assert_close(narrow, wide, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", ["three branches", "training step"])
def test_the_memory_of_a_way(benchmark, pipeline_folder, way):
    """In this process, which has run them before: something, but how much is another process's to say."""
    from sampling_memory import increase, way_of

    ran = []
    run = way_of(way, pipeline_folder, batch=1, steps=1)

    def run_and_hold():  # 80 MB for five looks of the watch: what lives shorter than the time between two may be missed
        ran.append(run())
        block = torch.ones(20_000_000)
        time.sleep(0.1)
        return block

    found = increase(run_and_hold)
    assert ran and found["before"] > 50 and found["increase"] >= 60


def test_a_child_that_fails_is_said(benchmark, tmp_path, monkeypatch):
    import sampling_memory

    def run(command, **_):
        assert command[2:4] == ["three branches", "--model"]
        return type("", (), {"returncode": 2, "stderr": "long\nerror: no model", "stdout": ""})

    monkeypatch.setattr(sampling_memory.subprocess, "run", run)
    assert sampling_memory.in_a_child("three branches", tmp_path, 1, 1) == {"failed": "error: no model"}


def test_full_shape_with_the_gpu_taken_out(benchmark, monkeypatch):
    """Stable Diffusion's shapes at an eighth of the width: the lines that a GPU runs, without the card's own."""
    from full_size import narrowed

    profile = dataclasses.replace(narrowed(FULL, 8), image_size=32)
    monkeypatch.setattr(torch, "compile", lambda network: network)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 2e6)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 5e6)
    found = benchmark.full_shape(profile, batch=1, steps=1, rounds=1, device="cpu")
    assert (
        found["same_work"]["evaluations"]["diffusers"] == 3 and found["same_work"]["evaluations"]["four branches"] == 4
    )
    assert found["sampling"]["compiled_over_eager"]["first_run_seconds"] >= 0
    assert found["peak_memory_mb"]["diffusers"] == {"before": 2.0, "increase": 3.0}
