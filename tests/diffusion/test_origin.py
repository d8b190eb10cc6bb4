"""A saved model does not say where, on whose machine, it was loaded from."""

import json

from diffusers import UNet2DConditionModel

from v2ir_lib.weights import save_half


def test_saved_configs_hold_no_paths(tmp_path):
    small = dict(block_out_channels=(16,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",))
    unet = UNet2DConditionModel(sample_size=8, norm_num_groups=8, layers_per_block=1, cross_attention_dim=8, **small)
    save_half(unet, tmp_path / "one")
    again = UNet2DConditionModel.from_pretrained(tmp_path / "one", use_safetensors=True)
    again.save_pretrained(tmp_path / "plain")
    assert str(tmp_path) in (tmp_path / "plain" / "config.json").read_text(), "diffusers no longer notes the path"
    save_half(again, tmp_path / "two")
    config = (tmp_path / "two" / "config.json").read_text()
    assert str(tmp_path) not in config and json.loads(config)["cross_attention_dim"] == 8
