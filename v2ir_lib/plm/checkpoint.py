"""Checkpoints that survive being killed: safetensors and JSON, complete or not there at all.

A checkpoint is a folder named by its step, `00000500/`, with `state.safetensors` (weights, their moving average, the
optimiser's two moments; all fp32) and `state.json` (phase, seed, settings, losses, and the tensor file's SHA-256). It
is written under another name and renamed when whole. Every draw of the training loop is keyed by its step, so the step
number is all there is to know about the data's position and the random state.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path, sha256

TENSORS, FACTS = "state.safetensors", "state.json"


def save_checkpoint(folder: Path, step: int, tensors: dict[str, torch.Tensor], facts: dict, keep: int = 2) -> Path:
    """Write checkpoint `step` below `folder`, then drop all but the newest `keep`. Same state, same bytes."""
    path = Path(folder) / f"{step:08d}"
    with atomic_path(path) as temporary:
        temporary.mkdir()
        save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, temporary / TENSORS)
        facts = {**facts, "step": step, "sha256": sha256(temporary / TENSORS)}
        (temporary / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def sweep(folder: Path) -> None:
    """Remove what a process that was killed while it saved has left."""
    for leftover in Path(folder).glob(f".{'[0-9]' * 8}.*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints below `folder`, oldest first."""
    return sorted(path for path in Path(folder).glob("[0-9]" * 8) if (path / FACTS).is_file())


def load_newest(folder: Path) -> tuple[dict[str, torch.Tensor], dict] | None:
    """Tensors and facts of the newest intact checkpoint, or None; a damaged one is passed over."""
    for path in reversed(checkpoints(folder)):
        try:
            facts = json.loads((path / FACTS).read_text(encoding="utf-8"))
            if facts["sha256"] == sha256(path / TENSORS):
                return load_file(path / TENSORS), facts
        except (OSError, ValueError, KeyError, SafetensorError):
            pass
        print(f"checkpoint {path} is damaged; going back to the one before it", file=sys.stderr)
    return None


def check_same_kind(facts: dict, expected: dict, folder: Path) -> None:
    """`UserError` for a checkpoint of another phase or profile, with the shapes of what both UNets read."""

    def kind(of: dict) -> str:
        shape = " × ".join(map(str, of.get("input", ["?"])))
        return f"{of.get('phase')} of profile {of.get('profile')}, whose UNet reads {shape}"

    if kind(facts) != kind(expected):
        raise UserError(
            f"{folder} holds a run of {kind(facts)}, not of {kind(expected)}; "
            "choose another folder, or remove it to start anew"
        )


def check_resumable(facts: dict, expected: dict, folder: Path) -> None:
    """`UserError` naming the first thing in which a checkpoint differs from the run that wants to continue it."""
    for name, value in expected.items():
        if facts.get(name) != json.loads(json.dumps(value)):
            raise UserError(
                f"{folder} holds a run with {name} {facts.get(name)!r}, not {value!r}; "
                "choose another folder, or remove it to start anew"
            )


def check_shapes(tensors: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], folder: Path) -> None:
    """`UserError` naming the first tensor that is missing or of another shape, with both shapes."""
    for name, tensor in expected.items():
        if name not in tensors:
            raise UserError(f"{folder} has no tensor {name}: it was written by another model")
        if tensors[name].shape != tensor.shape:
            raise UserError(
                f"{folder}: {name} has shape {tuple(tensors[name].shape)}, this model needs {tuple(tensor.shape)}"
            )
