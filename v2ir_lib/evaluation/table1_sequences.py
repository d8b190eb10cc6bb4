"""The Table 1 experiment's data: simulated sequences in two halves, each frame a test frame or a training one.

Both halves are drawn from the same world in the same way. The middle frame of every sequence is its test frame, the
others, its siblings, are for training. So each half has a training set that leaks into its own test frames, and is
clean for the other half's; the two sets are equal in size, in frame numbers and in all that is drawn in training.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from v2ir_lib.data.leakage import check_records
from v2ir_lib.errors import UserError
from v2ir_lib.files import cache_dir
from v2ir_lib.plm.sources import ManifestScenes, manifest_scenes
from v2ir_lib.records import Record, read_manifest, write_manifest
from v2ir_lib.world.cameras import STYLE_CAMERA
from v2ir_lib.world.folder import render_folder
from v2ir_lib.world.packs import VERSION
from v2ir_lib.world.scene import sample_scene

WORLD_SEED = 107  # no pack's: no model here has seen a scene of it
FRAMES, TEST_FRAME = 5, 2  # of each sequence
SECONDS = 0.2  # between frames, as `world.scene.sequence` has it
HALVES = ("even", "odd")  # numbers of the sequences
MOVING = ("driving", "aerial")  # viewpoints whose camera moves on from frame to frame


def render_sequences(count: int, workers: int | None = None) -> Path:
    """Render what the cache lacks of `count` sequences; returns a manifest whose splits are "even-train", "odd-test" …

    Raises `UserError` for a count that cannot be halved, or is too small for an interval.
    """
    if count < 4 or count % 2:
        raise UserError(f"--sequences is {count}: it must be even, and at least 4")
    folder = cache_dir() / "evaluation" / "table1" / f"sequences-v{VERSION}"
    records = render_folder(count, WORLD_SEED, folder, workers=workers, frames=FRAMES, cameras=(STYLE_CAMERA,))
    manifest = folder / f"table1-{count}.csv"
    write_manifest(manifest, with_splits(records))
    return manifest


def with_splits(records: Sequence[Record]) -> list[Record]:
    """The same records, `FRAMES` of each sequence in order, with the number of their frame and their split."""
    rows = []
    for number, record in enumerate(records):
        sequence, frame = divmod(number, FRAMES)
        part = "test" if frame == TEST_FRAME else "train"
        rows.append(replace(record, frame=frame, split=f"{HALVES[sequence % 2]}-{part}"))
    return rows


def frames_of(manifest: Path, half: str, part: str) -> ManifestScenes:
    """The "train" or "test" frames of a half."""
    return manifest_scenes(manifest, f"{half}-{part}")


def seen_frames(manifest: Path, half: str) -> ManifestScenes:
    """Of each sequence of a half the training frame just before the test frame: what a model trained on it has seen."""
    scenes = frames_of(manifest, half, "train")
    return replace(scenes, records=[one for one in scenes.records if one.frame == TEST_FRAME - 1])


def leaking(manifest: Path, trained: str, tested: str) -> dict[str, int]:
    """How many test frames of one half have siblings in another's training set, by the splits' own check."""
    parts = {f"{trained}-train": "train", f"{tested}-test": "test"}
    records = [record for record in read_manifest(manifest) if record.split in parts]
    found = check_records(records, [parts[record.split] for record in records])
    total = {name: found.total(name) for name in ("train", "test")}
    return {
        "training_frames": total["train"].rows,
        "test_frames": total["test"].rows,
        "test_frames_with_siblings_in_training": total["test"].leaking,
    }


def camera_moves(scenes: ManifestScenes) -> list[bool]:
    """For each frame whether its camera moves on during the sequence: siblings of a standing one are nearly copies."""
    return [sample_scene(WORLD_SEED, int(record.group)).viewpoint in MOVING for record in scenes.records]
