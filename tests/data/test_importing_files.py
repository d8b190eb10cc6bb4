"""`v2ir data import` and single files: unreadable, changing, strangely named. Each is listed, none stops it."""

import errno
import os
from pathlib import Path

import miniatures
import pytest

from v2ir_lib.data import reading
from v2ir_lib.data.importing import import_dataset


def test_a_file_without_permission(pairs, monkeypatch, tmp_path):
    truly = open

    def guarded(path, *args, **kwargs):
        if str(path).endswith("visible/0.png"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return truly(path, *args, **kwargs)

    monkeypatch.setattr("builtins.open", guarded)
    summary = import_dataset("paired", pairs, tmp_path / "m.csv")
    assert summary.pairs == 2 and summary.unpaired_first[0]["reason"] == "permission denied"


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("what, reason", [("grows", "it changed while it was read"), ("goes", "it is gone")])
def test_a_file_that_changes_or_goes_under_the_importer(pairs, tmp_path, monkeypatch, what, reason, hashes):
    truly = reading._opened

    def meanwhile(path, file=None):
        if str(path).endswith("visible/1.png"):
            content = Path(path).read_bytes()
            if what == "grows":
                Path(path).write_bytes(content + b"more")
            else:
                Path(path).unlink()
        return truly(path, file)

    monkeypatch.setattr(reading, "_opened", meanwhile)
    summary = import_dataset("paired", pairs, tmp_path / "m.csv", hashes=hashes)
    assert summary.pairs == 2 and {"side": "visible", "path": "set/visible/1.png", "reason": reason} in (
        summary.unpaired_first
    )


def test_a_name_that_is_no_text(pairs, tmp_path):
    try:
        miniatures.picture(Path(os.fsdecode(bytes(pairs / "visible") + b"/\xff.png")))
    except OSError:
        pytest.skip("this file system takes only text as names")
    summary = import_dataset("paired", pairs, tmp_path / "m.parquet")
    assert summary.pairs == 3 and summary.unpaired_first[0]["reason"] == "name is not UTF-8"
    assert "\ufffd.png" in (tmp_path / "m.parquet.unpaired.csv").read_text(encoding="utf-8")


def test_links_to_folders_do_not_lead_round_in_a_circle(tmp_path):
    miniatures.infrared(tmp_path / "set")
    (tmp_path / "set/flight 1/loop").symlink_to(tmp_path / "set")
    assert import_dataset("infrared", tmp_path / "set", tmp_path / "m.csv").infrared_only == 3
