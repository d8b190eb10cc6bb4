"""Writing: all or nothing, nothing left behind, and one clear line where the system refuses."""

import json

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
    assert tree(tmp_path) == {"new": False, "new/a.json": '{"new": "ä"}\n'}


def test_json_has_short_lines_and_no_more_of_them_than_it_needs(tmp_path):
    path = tmp_path / "a.json"
    value = {"rows": [{"name": f"row {i}", "mean": {"value": i / 3, "low": -1.0}, "long": "x" * 70} for i in range(3)]}
    value |= {"pair": (1, 2), "none": None, "empty": [], 3: {}, "ä": "x" * 200}
    write_json(path, value)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(json.dumps(value))
    assert text.splitlines()[:5] == [
        "{",
        ' "rows": [',
        "  {",
        '   "name": "row 0",',
        '   "mean": {"value": 0.0, "low": -1.0},',
    ]
    assert [len(line) > 120 for line in text.splitlines()].count(True) == 1  # a word is not broken
    fitting = {"a": "x" * (119 - len('{"a": ""},'))}
    write_json(path, [fitting, fitting])  # with its indent and comma such a line has 120 characters
    assert [len(line) for line in path.read_text().splitlines()] == [1, 120, 119, 1]
    fitting["a"] += "x"
    write_json(path, [fitting])
    assert [len(line) for line in path.read_text().splitlines()] == [1, 2, 119, 2, 1]


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
