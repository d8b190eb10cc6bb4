"""The script that breaks a copy of the library: what it copies, what it changes, what it refuses."""

import sys

import pytest
from break_once import broken_copy, main

from v2ir_lib.errors import UserError
from v2ir_lib.files import repo_root

FILE, OLD = "v2ir_lib/files.py", "def repo_root() -> Path:"


def test_the_copy_differs_in_one_place_and_the_original_not_at_all(tmp_path):
    original = (repo_root() / FILE).read_text()
    broken_copy(tmp_path, FILE, OLD, "def repo_toor() -> Path:")
    assert (tmp_path / FILE).read_text() == original.replace(OLD, "def repo_toor() -> Path:")
    assert (repo_root() / FILE).read_text() == original
    assert not (tmp_path / "v2ir_lib").is_symlink() and (tmp_path / "models").is_symlink()
    assert (tmp_path / "notebooks" / "00_quickstart.ipynb").is_file()
    assert not list(tmp_path.glob(".*")), "no cache that a broken library could write to"


@pytest.mark.parametrize("old", ["nowhere in it", "Path"])
def test_a_text_that_is_not_there_once_is_refused(old, tmp_path):
    with pytest.raises(UserError, match="give a text that it has once") as told:
        broken_copy(tmp_path, FILE, old, "x")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("file", ["tests/conftest.py", "v2ir_lib/../pyproject.toml"])
def test_what_is_only_linked_to_cannot_be_broken(file, tmp_path):
    before = (repo_root() / file).read_text()
    with pytest.raises(UserError, match="only these are copied"):
        broken_copy(tmp_path, file, before.splitlines()[0], "broken")
    assert (repo_root() / file).read_text() == before


def test_an_unknown_notebook_is_refused_before_anything_is_copied(monkeypatch):
    words = ["break_once.py", "99", "--file", FILE, "--replace", OLD, "--by", "x", "--what", "y"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(UserError, match="99"):
        main()
