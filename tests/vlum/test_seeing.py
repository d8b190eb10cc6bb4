"""BLIP's words and SAM's masks: of the right kind, the same each time, and through a folder without change."""

import numpy as np
import pytest
import torch

from v2ir_lib.errors import UserError
from v2ir_lib.vlum.captioner import describe, load_captioner, load_captioner_processor
from v2ir_lib.vlum.segmenter import PIXEL_MEAN, SamWrapper, automatic_masks, build_tiny_sam
from v2ir_lib.weights import load_model


def test_captions_are_deterministic_and_batches_are_their_pictures(pipeline, photograph):
    model, processor = pipeline.captioner, pipeline.captioner_processor
    pictures = [photograph, 255 - photograph, photograph[:, :20]]
    together = describe(model, processor, pictures, max_tokens=6)
    assert together == describe(model, processor, pictures, max_tokens=6)
    assert together == [describe(model, processor, [one], max_tokens=6)[0] for one in pictures]
    assert all(isinstance(words, str) and len(words.split()) <= 6 and "[" not in words for words in together)


def test_nucleus_sampling_repeats_with_its_seed_and_leaves_the_global_state_alone(pipeline, photograph):
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    args = (pipeline.captioner, pipeline.captioner_processor, [photograph])
    found = [describe(*args, max_tokens=12, nucleus_seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert torch.equal(torch.rand(1), expected)
    assert found[0] == found[1] and len({words[0] for words in found}) > 1


def test_captioner_folder(pipeline, pipeline_folder, photograph, tmp_path):
    model = load_captioner(pipeline_folder / "captioner")
    processor = load_captioner_processor(pipeline_folder / "captioner_processor")
    expected = describe(pipeline.captioner, pipeline.captioner_processor, [photograph], max_tokens=6)
    assert describe(model, processor, [photograph], max_tokens=6) == expected
    with pytest.raises(UserError, match=r"missing: .*processor_config\.json"):
        load_captioner_processor(tmp_path)


def test_tiny_sam_is_tiny():
    sam = build_tiny_sam()
    assert 1.2e6 < sum(value.numel() for value in sam.parameters()) < 1.55e6
    assert type(sam).__module__.startswith("segment_anything")
    with torch.no_grad():
        embedding = sam.image_encoder(torch.zeros(1, 3, 192, 192))
    assert embedding.shape == (1, 96, 24, 24)


def test_masks(pipeline, photograph):
    masks = automatic_masks(pipeline.segmenter, photograph)
    assert masks.dtype == bool and masks.shape[1:] == (40, 64) and len(masks) > 0
    assert np.array_equal(masks, automatic_masks(pipeline.segmenter, photograph))


def test_no_mask_is_no_error(pipeline_folder, photograph):
    strict = load_model(SamWrapper, pipeline_folder / "segmenter")
    strict.register_to_config(pred_iou_thresh=1e9)
    assert automatic_masks(strict, photograph).shape == (0, 40, 64)


def test_masks_need_rgb(pipeline, photograph):
    for wrong in (photograph[..., 0], photograph.astype(np.float32)):
        with pytest.raises(ValueError, match="uint8"):
            automatic_masks(pipeline.segmenter, wrong)


def test_sam_folder_keeps_weights_thresholds_and_pixel_mean(pipeline, photograph, tmp_path):
    pipeline.segmenter.save_pretrained(tmp_path)
    again = load_model(SamWrapper, tmp_path)
    assert again.config.pred_iou_thresh == -9.0 and again.config.points_per_side == 3
    assert again.sam.pixel_mean.flatten().tolist() == pytest.approx(PIXEL_MEAN)
    assert np.array_equal(automatic_masks(again, photograph), automatic_masks(pipeline.segmenter, photograph))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
