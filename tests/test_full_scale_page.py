"""docs/full_scale.md: every command is one that accelerate and v2ir take, and its Python runs on what there is."""

import os
import re
import shlex
import shutil

import pytest
from accelerate.commands.launch import launch_command_parser
from test_house import commands_in, parse

from v2ir_lib.data.publishing import split_manifest
from v2ir_lib.files import repo_root
from v2ir_lib.records import Record, read_manifest, write_manifest

PAGE = (repo_root() / "docs" / "full_scale.md").read_text(encoding="utf-8")


def launched(command: str) -> list[str]:
    """What accelerate's parser hands on to `python -m v2ir_lib.cli`; it stops at a switch that it does not know."""
    told = launch_command_parser().parse_args(["launch", *shlex.split(command)][1:])
    assert told.module and told.training_script == "v2ir_lib.cli"
    return told.training_script_args


def test_v2irs_commands_parse():
    commands = commands_in(PAGE, "v2ir")
    assert len([command for command in commands if "--" in command]) >= 9
    for command in commands:
        parse(command)


def test_accelerates_commands_parse_on_both_sides():
    commands = [command.removeprefix("launch ") for command in commands_in(PAGE, "accelerate")]
    assert len(commands) == 3
    for command in commands:
        parse(shlex.join(launched(command)))
    two = launch_command_parser().parse_args(shlex.split(commands[1]))
    assert (two.num_processes, two.num_machines, two.machine_rank) == (16, 2, 0)


def test_a_misspelt_switch_is_caught(capsys):
    with pytest.raises(SystemExit):
        launched("--num_proceses 8 -m v2ir_lib.cli train phase2 --out a")
    assert "num_proceses" in capsys.readouterr().err


def test_the_split_goes_into_the_manifest(tmp_path, monkeypatch):
    [code] = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "fit_split" in block]
    for number in range(10):
        for kind in ("visible", "infrared"):
            target = tmp_path / kind / f"{number}.png"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(repo_root() / "data_samples" / "lwir-driving" / f"0000{number}_00.png", target)
    rows = [Record(str(n), f"group{n // 2}", f"visible/{n}.png", f"infrared/{n}.png") for n in range(10)]
    monkeypatch.chdir(tmp_path)
    write_manifest("good.parquet", rows)
    split_manifest("good.parquet", "split.csv", fractions=(0.6, 0.2, 0.2))
    exec(compile(code, "docs/full_scale.md", "exec"), {})
    done = read_manifest("pairs.parquet")
    assert [row.id for row in done] == [row.id for row in rows] and {row.split for row in done} == {
        "train",
        "val",
        "test",
    }
    assert all(a.split == b.split for a, b in zip(done[::2], done[1::2], strict=True)), "groups stay together"


def test_configurations_that_are_named_are_there():
    for name in re.findall(r"configs/[\w/.]+\.yaml", PAGE):
        assert os.path.isfile(repo_root() / name)
