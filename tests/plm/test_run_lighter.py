"""Training with less memory, from the outside: LoRA in any phase, 8 bits refused in time, the same run by any way."""

import sys
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from random_runs import model_folders, small_profile, train  # noqa: F401, fixtures

from v2ir_lib.cli import main
from v2ir_lib.diffusion.components import load_unet
from v2ir_lib.diffusion.lora import ATTENTION, load_lora
from v2ir_lib.diffusion.widening import widen
from v2ir_lib.plm import run


def test_lora_in_place_of_the_whole_unet_in_phases_2_and_3(tmp_path, capsys, photograph):
    """Only the attention projections and the first convolution differ afterwards; start and lora/ make up unet/."""
    train(capsys, "phase1", tmp_path / "1")
    fast = ("--lora", 3, "--learning-rate", 0.05, "--gradient-checkpointing")
    code, second, _ = train(capsys, "phase2", tmp_path / "2", "--model", tmp_path / "1", *fast)
    start, merged = widen(load_unet(tmp_path / "1/unet"), 12), load_unet(tmp_path / "2/unet")
    changed = {name for name, weight in merged.named_parameters() if not torch.equal(weight, start.get_parameter(name))}
    attention = {name for name in changed if name.removesuffix(".weight").endswith(tuple(ATTENTION))}
    assert len(attention) > 10 and changed - attention == {"conv_in.weight", "conv_in.bias"}
    layers = [start.get_parameter(name).shape for name in attention]
    trained = sum(3 * sum(shape) for shape in layers) + start.conv_in.weight.numel() + start.conv_in.bias.numel()
    assert code == 0 and second["lora_rank"] == 3 and second["trained_parameters"] == trained
    assert float(merged.conv_in.weight[:, 4:].detach().abs().max()) > 0, "the new channels began at zero"

    draw = torch.Generator().manual_seed(0)
    z, text = torch.randn(1, 12, 8, 8, generator=draw), torch.randn(1, 7, 32, generator=draw)
    with torch.no_grad():
        before = start.eval()(z, 500, text).sample
        beside = load_lora(start, tmp_path / "2/lora").eval()(z, 500, text).sample
        after = merged.eval()(z, 500, text).sample
    assert (after - before).abs().max() > 0.01
    torch.testing.assert_close(beside, after, rtol=0, atol=1e-5)

    code, third, _ = train(capsys, "phase3", tmp_path / "3", "--model", tmp_path / "2", *fast)
    assert code == 0 and third["trained_parameters"] == trained and (tmp_path / "3/lora").is_dir()
    Image.fromarray(photograph).save(tmp_path / "photograph.png")
    arguments = ["translate", tmp_path / "photograph.png", tmp_path / "out.png", "--model", tmp_path / "3"]
    assert main([*map(str, arguments), "--device", "cpu"]) == 0
    assert Image.open(tmp_path / "out.png").size == (64, 40)
    capsys.readouterr()
    code, _, lines = train(capsys, "phase3", tmp_path / "x", "--model", tmp_path / "2/lora")
    assert code == 2 and "fits only the UNet that it was trained beside" in lines[-1]


def test_lora_that_changes_its_base_is_found_out(tmp_path, capsys, monkeypatch):
    truly = run.train

    def careless(unet, *a, **more):
        progress = truly(unet, *a, **more)
        with torch.no_grad():
            unet.conv_out.bias[0] += 1e-6
        return progress

    monkeypatch.setattr(run, "train", careless)
    with pytest.raises(AssertionError, match="phase2 changed the base model"):
        train(capsys, "phase2", tmp_path / "2", "--model", "random", "--lora", 2)


def test_eight_bits_without_their_library_are_refused_before_anything_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)  # as if it were not installed
    code, _, lines = train(capsys, "phase2", tmp_path / "x", "--model", "nowhere", "--optimizer", "adamw8bit")
    assert code == 2 and len(lines) == 1 and "needs bitsandbytes: pip install -e '.[eight-bit]'" in lines[0]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind, said", [("FSDP", "be had with FSDP"), ("NO", "train on meta here")])
def test_what_cannot_be_trained_is_refused_before_pictures_are_read(tmp_path, capsys, monkeypatch, kind, said):
    """Pieces of weights; and 8 bits on the device that is this process's own, where the library may fail."""
    from accelerate.utils import DistributedType

    class Broken(torch.optim.SGD):
        def __init__(self, groups, weight_decay):
            super().__init__(groups, weight_decay=weight_decay)
            assert not self.param_groups[0]["params"][0].is_cuda, "every process would open the first GPU"

        def step(self):
            raise RuntimeError("no kernel")

    ours = SimpleNamespace(distributed_type=DistributedType(kind), device=torch.device("meta"), num_processes=2)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", SimpleNamespace(AdamW8bit=Broken))
    monkeypatch.setattr(run, "make_accelerator", lambda *_: ours)
    monkeypatch.setattr(run, "load_data", lambda *_: pytest.fail("pictures were read"))
    for asked in (("--optimizer", "adamw8bit"), ("--ema-on-cpu",))[: 2 if kind == "FSDP" else 1]:
        code, _, lines = train(capsys, "phase2", tmp_path / "x", "--model", "random", *asked)
        assert code == 2 and len(lines) == 1 and said in lines[0]
    assert not (tmp_path / "x").exists()


def test_what_makes_training_lighter_is_the_same_run(tmp_path, capsys):
    """Unless it changes what is computed."""
    names = {}
    for name, options in {
        "usual": (),
        "light": ("--gradient-checkpointing", "--ema-on-cpu", "--optimizer", "adamw"),
        "rank": ("--lora", 3),
    }.items():
        code, record, _ = train(capsys, "phase1", tmp_path / name, *options)
        assert code == 0
        names[name] = record["run"]
    assert names["usual"] == names["light"] != names["rank"]


def test_a_run_has_the_same_name_as_ever(tmp_path, capsys, monkeypatch):
    """Whoever began a run with an earlier version can go on: its name is made of what it always was."""
    monkeypatch.setattr(run, "weights_fingerprint", lambda _: "a start")  # whose numbers are another machine's
    code, record, _ = train(capsys, "phase1", tmp_path / "usual")
    assert code == 0 and record["run"] == "f5b00e0c13d13f93d62bbce465137ef7"
