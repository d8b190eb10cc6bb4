"""Scenes as files: pictures, masks, temperatures, descriptions and a manifest. What `v2ir world render` writes."""

import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path, write_json
from v2ir_lib.records import Record, write_manifest
from v2ir_lib.world.cameras import CAMERAS, expose, get_camera
from v2ir_lib.world.packs import VERSION, one_thread
from v2ir_lib.world.render import Rendered, render_scene
from v2ir_lib.world.scene import sample_scene, sequence

ONE_A_BAND = ("nir-security", "swir-ingaas", "mwir-cooled", "lwir-driving", "lwir-radiometric")
LICENCE = "CC0-1.0"


def render_folder(
    count: int,
    seed: int,
    out: str | Path,
    *,
    workers: int | None = None,
    frames: int = 1,
    cameras: tuple[str, ...] = ONE_A_BAND,
    jpeg: bool = False,
    progress: bool = True,
) -> list[Record]:
    """Render scenes 0 … count−1 of the world `seed` into `out`, a sequence of `frames` each, and write manifest.csv.

    A scene that is already there is kept, so an interrupted run continues; a folder that holds another seed or other
    settings is refused. `jpeg` stores visible pictures in a quarter of the space. Raises `UserError`.
    """
    if count < 1 or frames < 1:
        raise UserError("--count and --frames must be at least 1")
    out = Path(out)
    for name in cameras:
        get_camera(name)
    settings = {"world": VERSION, "seed": seed, "frames": frames, "cameras": list(cameras), "jpeg": jpeg}
    _claim(out, settings)
    jobs = [
        (str(out), seed, index, frames, cameras, jpeg)
        for index in range(count)
        if not _note(out, index, frames - 1).exists()
    ]
    if jobs:
        workers = min(workers or os.cpu_count() or 1, len(jobs))
        bar = tqdm(total=count, initial=count - len(jobs), desc="rendering", unit="scene", disable=not progress)
        with bar, multiprocessing.get_context("spawn").Pool(workers, initializer=one_thread) as pool:
            for _ in pool.imap_unordered(_render_one, jobs):
                bar.update()
    records = [
        record
        for index in range(count)
        for frame in range(frames)
        for record in _records(out, index, frame, cameras, jpeg)
    ]
    write_manifest(out / "manifest.csv", records)
    contact_sheet(out, records)
    return records


def contact_sheet(out: Path, records: list[Record], columns: int = 8) -> None:
    """All scenes at a glance, visible beside the last of the infrared cameras: contact_sheet.jpg in `out`."""
    last = {record.visible: record for record in records}.values()
    side, rows = 96, -(-len(last) // columns)
    sheet = Image.new("RGB", (columns * 2 * side, rows * side))
    for number, record in enumerate(last):
        x, y = number % columns * 2 * side, number // columns * side
        for shift, name in ((0, record.visible), (side, record.infrared)):
            with Image.open(out / name) as picture:
                sheet.paste(picture.convert("RGB").resize((side, side), Image.Resampling.BOX), (x + shift, y))
    with atomic_path(out / "contact_sheet.jpg") as temporary:
        sheet.save(temporary, quality=82)


def _claim(out: Path, settings: dict) -> None:
    path = out / "world.json"
    if path.exists():
        if (found := json.loads(path.read_text())) != settings:
            raise UserError(
                f"{out} holds another world ({found}): choose an empty folder, or the same settings to continue"
            )
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty and holds no world.json: choose an empty folder")
    write_json(path, settings)


def _stem(index: int, frame: int) -> str:
    return f"{index:05d}_{frame:02d}"


def _note(out: Path, index: int, frame: int) -> Path:
    """A scene's description is written last: where it is, the scene is whole."""
    return out / "scenes" / f"{_stem(index, frame)}.json"


def _render_one(job: tuple) -> None:
    out, seed, index, frames, cameras, jpeg = job
    for frame, scene in enumerate(sequence(sample_scene(seed, index), frames)):
        save_scene(Path(out), index, frame, render_scene(scene), cameras, jpeg)


def save_scene(out: Path, index: int, frame: int, rendered: Rendered, cameras: tuple[str, ...], jpeg: bool) -> None:
    """Write one scene's files; its description last."""
    stem = _stem(index, frame)
    pictures = {f"instances/{stem}.png": rendered.instances, f"classes/{stem}.png": rendered.classes}
    pictures[f"temperature/{stem}.png"] = np.round(rendered.kelvin * 100).astype(np.uint16)
    for name in cameras:
        pictures[f"{name}/{stem}.png"] = expose(rendered.radiance, CAMERAS[name], index * 1000 + frame)
    pictures[f"visible/{stem}.{'jpg' if jpeg else 'png'}"] = rendered.visible
    for name, picture in pictures.items():
        options = {"quality": 90} if name.endswith("jpg") else {"optimize": True}
        with atomic_path(out / name) as temporary:
            Image.fromarray(picture).save(temporary, **options)
    note = json.dumps({"caption": rendered.caption, **rendered.spec})
    with atomic_path(_note(out, index, frame)) as temporary:  # one line: indented, notes would outweigh the pictures
        temporary.write_text(note + "\n", encoding="utf-8")


def _records(out: Path, index: int, frame: int, cameras: tuple[str, ...], jpeg: bool) -> list[Record]:
    stem = _stem(index, frame)
    caption = json.loads(_note(out, index, frame).read_text(encoding="utf-8"))["caption"]
    return [
        Record(
            id=f"{stem}_{name}",
            group=f"{index:05d}",
            visible=f"visible/{stem}.{'jpg' if jpeg else 'png'}",
            infrared=f"{name}/{stem}.png",
            band=CAMERAS[name].band,
            camera=name,
            caption=caption,
            instances=f"instances/{stem}.png",
            classes=f"classes/{stem}.png",
            temperature=f"temperature/{stem}.png",
            licence=LICENCE,
        )
        for name in cameras
    ]
