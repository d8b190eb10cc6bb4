"""Where a figure comes from: written beside every measured number."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import diffusers
import torch
import transformers

from v2ir_lib.diffusion.folders import component_folders, pipeline_hash
from v2ir_lib.files import repo_root, sha256


def provenance(seed: int) -> dict:
    """Seed, commit (with "+" if tracked files were changed), date, machine and versions."""
    return {
        "seed": seed,
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "versions": {module.__name__: module.__version__ for module in (torch, diffusers, transformers)},
    }


def weight_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every safetensors file that a pipeline folder uses, and of the whole."""
    places = sorted(set(component_folders(folder).values()))
    files = [path for place in places for path in sorted(place.glob("*.safetensors"))]
    return {f"{path.parent.name}/{path.name}": sha256(path) for path in files} | {"pipeline": pipeline_hash(folder)}


def _commit() -> str | None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(repo_root()), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None  # not a git checkout


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
