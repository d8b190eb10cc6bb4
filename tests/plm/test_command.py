"""What `v2ir train` can be told: every way to less memory that the table of memory names."""

import json
import shlex

import pytest
import typer

from v2ir_lib.diffusion.memory import LADDER, PHASES, Way
from v2ir_lib.files import repo_root
from v2ir_lib.plm.command import train
from v2ir_lib.plm.optimiser import ADAMW_8BIT, OPTIMISERS
from v2ir_lib.plm.processes import PRECISIONS


def understood(phase: str, switches: list[str]) -> dict:
    """The options that `v2ir train` makes of switches; it raises for one that it has not."""
    command = typer.main.get_command(train).commands[phase]
    return command.make_context(phase, ["--out", "x", *shlex.split(" ".join(switches))]).params


@pytest.mark.parametrize("phase", PHASES)
def test_every_way_down_is_understood_as_it_was_meant(phase):
    for way in (*LADDER, Way(lora_rank=4, adam_bits=8)):
        told = understood(phase, way.switches)
        assert told["optimizer"] in OPTIMISERS and told["mixed_precision"] in PRECISIONS
        assert way == Way(
            mixed=told["mixed_precision"] == "bf16",
            checkpointing=told["gradient_checkpointing"],
            adam_bits=8 if told["optimizer"] == ADAMW_8BIT else 32,
            average=not told["ema_on_cpu"],
            lora_rank=told["lora"] or 0,
        )


def test_the_table_in_the_results_names_options_only():
    table = json.loads((repo_root() / "results" / "memory.json").read_text(encoding="utf-8"))
    rows = [row for row in table["rows"] + table["ways_down"] if row.get("switches")]
    assert len(rows) > 20
    for row in rows:
        understood(row["phase"], row["switches"])
