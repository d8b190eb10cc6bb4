"""`v2ir annotate` with random models on a small manifest."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from annotation_rows import write_rows

from v2ir_lib.cli import main


@pytest.fixture(scope="session")
def models(pipeline_folder, tmp_path_factory) -> Path:
    """The random captioner, its processor and the segmenter. Read only: copy it to break it."""
    folder = tmp_path_factory.mktemp("models")
    for part in ("captioner", "captioner_processor", "segmenter"):
        shutil.copytree(pipeline_folder / part, folder / part)
    return folder


@pytest.fixture
def short_captions(monkeypatch):
    """The tiny profile's sizes are not the random models'; and by beam search these say nothing at all."""
    from v2ir_lib import profiles

    small = replace(profiles.TINY, reading_size=48, caption_tokens=6, caption_beams=1)
    monkeypatch.setitem(profiles.PROFILES, "tiny", small)


@pytest.fixture
def manifest(tmp_path, photograph) -> Path:
    """The manifest of `annotation_rows`, in data/."""
    return write_rows(tmp_path / "data", photograph)


@pytest.fixture
def annotate(models, short_captions, capsys):
    """Run the command in one process; returns exit code, stdout and the lines of stderr without the progress bar."""

    def run(manifest, out, *options, models=models):
        words = ["annotate", manifest, "--out", out, "--models", models, "--device", "cpu", "--workers", 1, *options]
        code = main([str(word) for word in words])
        said, err = capsys.readouterr()
        lines = [line for line in err.replace("\r", "\n").split("\n") if line.strip() and "annotating:" not in line]
        return code, said, lines

    return run
