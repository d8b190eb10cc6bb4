"""A checkpoint is whole or not there; a damaged one is passed over; another model's is refused with both shapes."""

import pytest
import torch

from v2ir_lib.errors import UserError
from v2ir_lib.plm.checkpoint import check_shapes, checkpoints, load_newest, save_checkpoint


def state(step: int) -> dict[str, torch.Tensor]:
    return {"weights/a": torch.full((3, 2), float(step)), "average/a": torch.arange(6.0).reshape(3, 2)}


def test_what_is_written_is_read_and_only_two_are_kept(tmp_path):
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, step, state(step), {"phase": "phase2"})
    assert [path.name for path in checkpoints(tmp_path)] == ["00000010", "00000015"]
    tensors, facts = load_newest(tmp_path)
    assert facts["step"] == 15 and facts["phase"] == "phase2"
    assert tensors.keys() == state(15).keys() and all(torch.equal(tensors[k], v) for k, v in state(15).items())


@pytest.mark.parametrize("damage", ["cut", "one bit", "no json", "bad json"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage, capsys):
    for step in (5, 10):
        newest = save_checkpoint(tmp_path, step, state(step), {})
    tensors, facts = newest / "state.safetensors", newest / "state.json"
    raw = bytearray(tensors.read_bytes())
    if damage == "cut":
        tensors.write_bytes(raw[:-4])
    elif damage == "one bit":
        raw[-1] ^= 1
        tensors.write_bytes(raw)
    elif damage == "no json":
        facts.unlink()
    else:
        facts.write_text("{")
    assert load_newest(tmp_path)[1]["step"] == 5
    assert damage == "no json" or "damaged" in capsys.readouterr().err


def test_dying_while_writing_leaves_the_last_one(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 5, state(5), {})

    def die(*_):
        raise MemoryError

    monkeypatch.setattr("v2ir_lib.plm.checkpoint.sha256", die)
    with pytest.raises(MemoryError):
        save_checkpoint(tmp_path, 10, state(10), {})
    monkeypatch.undo()
    assert load_newest(tmp_path)[1]["step"] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["00000005"]


def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    import errno

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("v2ir_lib.plm.checkpoint.save_file", full)
    with pytest.raises(UserError, match="disk is full"):
        save_checkpoint(tmp_path, 10, state(10), {})
    assert load_newest(tmp_path) is None


def test_shapes_are_named(tmp_path):
    with pytest.raises(UserError, match=r"weights/a has shape \(3, 2\), this model needs \(4, 2\)"):
        check_shapes(state(1), {"weights/a": torch.zeros(4, 2)}, tmp_path)
    with pytest.raises(UserError, match="no tensor weights/b"):
        check_shapes(state(1), {"weights/b": torch.zeros(1)}, tmp_path)
