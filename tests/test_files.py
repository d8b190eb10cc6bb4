"""Writing: all or nothing, nothing left behind, and one clear line where the system refuses."""

import pytest

from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path, write_json


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.is_file() and path.read_text() for path in folder.rglob("*")}


def test_a_file_replaces_the_old_one_only_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_json(path, {"old": 1})
    old = tree(tmp_path)
    with pytest.raises(RuntimeError, match="stopped"), atomic_path(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".json"
        temporary.write_text("half")
        raise RuntimeError("stopped")
    with pytest.raises(ValueError):
        write_json(path, float("nan"))
    assert tree(tmp_path) == old
    write_json(path, {"new": "ä"})
    assert tree(tmp_path) == {"new": False, "new/a.json": '{\n  "new": "ä"\n}\n'}


def test_a_folder_replaces_an_older_one_whole(tmp_path):
    for name in ("first", "second"):
        with atomic_path(tmp_path / "made") as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "made") as temporary:
        temporary.mkdir()
        (temporary / "third").write_text("half")
        raise RuntimeError
    assert tree(tmp_path) == {"made": False, "made/second": "second"}


@pytest.mark.parametrize("below", ["a.json", "deep/a.json", "very/deep/a.json"])
def test_a_path_that_leads_through_a_file(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=r"cannot write .*a\.json: a part of the path is a file, not a folder"):
        write_json(tmp_path / "file" / below, 1)
    assert tree(tmp_path) == {"file": "mine"}


def test_a_file_where_a_folder_is(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(UserError, match="there is a folder of that name"):
        write_json(tmp_path / "a.json", 1)
    assert tree(tmp_path) == {"a.json": False}
