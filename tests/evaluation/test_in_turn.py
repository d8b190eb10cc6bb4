"""The three phases in turn: who starts from whom, and what is written of the comparison."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from v2ir_lib.evaluation import in_turn

RECORD = dict.fromkeys(in_turn.KEPT, 1) | {"seconds": 2.0, "run": "x"}


@pytest.fixture
def trained(monkeypatch) -> list:
    calls = []
    monkeypatch.setattr(in_turn, "train_phase", lambda name, options: calls.append((name, options)) or RECORD)
    return calls


def test_each_phase_starts_from_the_one_before(tmp_path, trained):
    made, records = in_turn.train_in_turn(tmp_path, 3, steps=7)
    assert [name for name, _ in trained] == list(records) == ["phase1", "phase2", "phase3"]
    starts = [options.model for _, options in trained]
    assert starts == [None, str(tmp_path / "phase1"), str(tmp_path / "phase2")], "the first one from the shipped base"
    assert made == tmp_path / "phase3" and {(o.seed, o.steps) for _, o in trained} == {(3, 7)}


def test_the_report_is_written(tmp_path, trained, monkeypatch, capsys):
    """A model one grey level nearer to the truth than the shipped one, on every scene."""
    truth = np.random.default_rng(0).integers(60, 190, (4, 16, 16)).astype(np.uint8)
    off = {in_turn.SHIPPED: 10, tmp_path / "phase3": 9}
    monkeypatch.setattr(in_turn, "Scenes", lambda *a: Four(truth))
    monkeypatch.setattr(in_turn, "load_pack", lambda *a, **k: None)
    monkeypatch.setattr(in_turn.DiffV2IRPipeline, "from_pretrained", lambda folder: folder)
    monkeypatch.setattr(in_turn, "translate", lambda folder, *a: truth + np.uint8(off[folder]))
    monkeypatch.setattr(in_turn, "weight_hashes", lambda folder: {"pipeline": folder.name})
    in_turn.main(work=tmp_path, out=tmp_path / "out.json", seed=0, steps=None, limit=None)
    report = json.loads((tmp_path / "out.json").read_text())
    gain = report["psnr"]["trained in turn minus shipped"]["mean"]
    assert gain == pytest.approx(20 * np.log10(10 / 9), abs=1e-3)
    assert report["seconds"] == 6 and set(report["phases"]) == {"phase1", "phase2", "phase3"}
    assert report["provenance"]["made_sha256"] == {"pipeline": "phase3"} and report["scenes"] == 4
    assert "trained in turn minus shipped" in capsys.readouterr().out


class Four(SimpleNamespace):
    def __init__(self, truth):
        super().__init__(infrared=truth)

    def __len__(self) -> int:
        return len(self.infrared)
