"""Scenes as files: whole, resumable, never mixed."""

import numpy as np
import pytest
from PIL import Image

from v2ir_lib.errors import UserError
from v2ir_lib.records import read_manifest
from v2ir_lib.world import folder
from v2ir_lib.world.folder import ONE_A_BAND, render_folder


@pytest.fixture
def in_process(monkeypatch):
    """Render without worker processes: the same work, without their start-up."""

    class Pool:
        def __init__(self, *_, **__): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...
        def imap_unordered(self, function, jobs):
            return map(function, jobs)

    monkeypatch.setattr(folder.multiprocessing, "get_context", lambda _: type("Context", (), {"Pool": Pool}))


def test_writes_a_manifest_continues_and_refuses_another_seed(tmp_path, in_process, monkeypatch):
    out = tmp_path / "world"
    records = render_folder(2, 8, out)
    assert len(records) == 2 * len(ONE_A_BAND) and read_manifest(out / "manifest.csv") == records
    for record in records:
        assert Image.open(out / record.visible).size == (192, 192)
        assert Image.open(out / record.infrared).mode == "L"
    kelvin = np.array(Image.open(out / records[0].temperature)) / 100
    assert 230 < kelvin.min() < kelvin.max() < 450
    before = {path: path.read_bytes() for path in out.rglob("*.png")}

    (out / "scenes" / "00001_00.json").unlink()  # as if interrupted in scene 1
    calls = []
    real = folder.render_scene
    monkeypatch.setattr(folder, "render_scene", lambda scene: calls.append(scene.index) or real(scene))
    render_folder(2, 8, out)
    assert calls == [1]
    assert before == {path: path.read_bytes() for path in out.rglob("*.png")}
    with pytest.raises(UserError, match="another world"):
        render_folder(2, 9, out)


def test_a_folder_of_somebody_elses_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="not empty"):
        render_folder(1, 1, tmp_path)
    with pytest.raises(UserError, match="at least 1"):
        render_folder(0, 1, tmp_path / "new")
