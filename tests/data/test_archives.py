"""Archives given as a root: dangerous ones are refused, harmless ones are to be unpacked first; nothing is written."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from v2ir_lib.cli import main
from v2ir_lib.data import archives
from v2ir_lib.data.archives import refuse_archive
from v2ir_lib.errors import UserError


def zip_of(path: Path, *names: str, mode: int = 0, data: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def tar_of(path: Path, *names: str, kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(b""))
    return path


def reason(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        refuse_archive(path)
    return str(caught.value)


def test_a_harmless_archive_is_to_be_unpacked_first(tmp_path):
    assert "archive of 2 files: unpack it first" in reason(zip_of(tmp_path / "a.zip", "x/", "x/a.png", "x/b..png"))
    assert "archive of 1 files: unpack it first" in reason(tar_of(tmp_path / "a.tar", "x/a.png"))
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    "name", ["../a.png", "x/../../a.png", "/etc/a.png", "C:/a.png", "C:a.png", "..\\a.png", "\\\\h\\s\\a.png"]
)
def test_paths_that_lead_out(tmp_path, name):
    assert "leads out of its folder" in reason(zip_of(tmp_path / "a.zip", "ok.png", name))
    assert "leads out of its folder" in reason(tar_of(tmp_path / "a.tar", "ok.png", name))


def test_links_and_devices(tmp_path):
    assert "a link or a device" in reason(zip_of(tmp_path / "a.zip", "l.png", mode=stat.S_IFLNK | 0o777))
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
        assert "a link or a device" in reason(tar_of(tmp_path / "a.tar", "l.png", kind=kind))


def test_too_many_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ENTRIES", 3)
    assert "unpack it first" in reason(zip_of(tmp_path / "a.zip", "1", "2", "3"))
    assert "more than 3 entries" in reason(zip_of(tmp_path / "a.zip", "1", "2", "3", "4"))
    assert "more than 3 entries" in reason(tar_of(tmp_path / "a.tar", "1", "2", "3", "4"))


def test_a_list_of_entries_too_long_is_not_even_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 60)
    monkeypatch.setattr(archives.zipfile, "ZipFile", lambda _: pytest.fail("read it"))
    with open(tmp_path / "a.zip", "wb") as file:
        file.write(b"PK\x05\x06" + bytes(8) + (61).to_bytes(4, "little") + bytes(6))
    monkeypatch.setattr(archives.zipfile, "is_zipfile", lambda _: True)
    assert "entries" in reason(tmp_path / "a.zip")


def test_bombs(tmp_path, monkeypatch):
    assert archives.MAX_RATIO <= 1000, "zeros shrink a thousandfold"
    monkeypatch.setattr(archives, "MAX_RATIO", 2)
    assert "no photographs do" in reason(zip_of(tmp_path / "a.zip", "a.png", data=bytes((2 << 20) + 1)))
    monkeypatch.setattr(archives, "MAX_BYTES", 3)
    assert "would grow" in reason(zip_of(tmp_path / "b.zip", "a.png", data=b"1234"))


def test_damaged_and_other_archives(tmp_path):
    content = zip_of(tmp_path / "a.zip", "a.png").read_bytes()
    (tmp_path / "cut.tar").write_bytes(b"no tar")
    assert "download it again" in reason(tmp_path / "cut.tar")
    (tmp_path / "bad.zip").write_bytes(b"\0" * 4 + content[4:40] + content[-22:])
    assert "download it again" in reason(tmp_path / "bad.zip")
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    assert "unpack it first" in reason(tmp_path / "a.tar.gz")


def test_the_command(tmp_path, capsys):
    for name, word in (("../a.png", "leads out"), ("visible/a.png", "unpack it first")):
        path = zip_of(tmp_path / "pairs.zip", name)
        assert main(["data", "import", "paired", str(path), "--out", str(tmp_path / "m.csv")]) == 2
        err = capsys.readouterr().err.strip().split("\n")
        assert len(err) == 1 and word in err[0] and not (tmp_path / "m.csv").exists()
