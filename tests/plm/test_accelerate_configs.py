"""The example configurations are what accelerate can read, each for its kind of parallel training."""

import pytest

from v2ir_lib.files import repo_root

FOLDER = repo_root() / "configs" / "accelerate"
KINDS = {"ddp": "MULTI_GPU", "fsdp": "FSDP", "deepspeed": "DEEPSPEED"}


def test_there_is_one_for_each_kind():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == KINDS.keys()


@pytest.mark.parametrize("name", KINDS)
def test_accelerate_parses_it(name):
    """Its reader refuses keys that it does not know, and words that are no kind of training."""
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(FOLDER / f"{name}.yaml"))
    assert config.distributed_type == KINDS[name] and config.num_processes == 4 and config.mixed_precision == "bf16"
    if name == "fsdp":
        assert config.fsdp_config["fsdp_version"] == 2
    if name == "deepspeed":
        assert config.deepspeed_config["zero_stage"] == 2


def test_a_wrong_key_is_refused(tmp_path):
    from accelerate.commands.config.config_args import load_config_from_file

    path = tmp_path / "wrong.yaml"
    path.write_text((FOLDER / "ddp.yaml").read_text() + "number_of_cards: 4\n")
    with pytest.raises(ValueError, match="number_of_cards"):
        load_config_from_file(str(path))
