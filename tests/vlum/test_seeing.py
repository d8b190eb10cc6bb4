"""BLIP's words and SAM's masks: of the right kind, the same each time, and through a folder without change."""

import numpy as np
import pytest
import torch

from v2ir_lib.errors import UserError
from v2ir_lib.vlum import captioner as captioner_code
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
    found = [describe(*args, max_tokens=12, nucleus=0.9, seed=seed)[0] for seed in (0, 0, 1, 2, 3)]
    assert torch.equal(torch.rand(1), expected)
    assert found[0] == found[1] and len(set(found)) > 1


def test_a_sampled_caption_does_not_depend_on_neighbours_or_order(pipeline, photograph):
    args, options = (pipeline.captioner, pipeline.captioner_processor), dict(max_tokens=12, nucleus=0.9, seed=5)
    pictures = [photograph, 255 - photograph, photograph[:, :20]]
    alone = [describe(*args, [picture], **options)[0] for picture in pictures]
    assert describe(*args, pictures, **options) == alone
    assert describe(*args, pictures[::-1], **options) == alone[::-1]
    assert len(set(alone)) > 1


def test_pictures_of_one_seed_draw_their_own_numbers(pipeline, photograph, monkeypatch):
    """Two pictures that the network cannot tell apart are still sampled apart, and one picture twice alike."""
    model, processor = pipeline.captioner, pipeline.captioner_processor
    true_generate = model.generate
    blind = lambda pixel_values, **options: true_generate(pixel_values=0 * pixel_values, **options)  # noqa: E731
    monkeypatch.setattr(model, "generate", blind)
    pictures = [photograph, 255 - photograph, photograph[::-1], photograph]
    found = describe(model, processor, pictures, max_tokens=12, nucleus=1.0, seed=0)
    assert len(set(found[:3])) == 3 and found[0] == found[3]


def test_the_nucleus_and_the_length_are_what_they_are_called(pipeline, photograph, monkeypatch):
    """A nucleus of almost nothing holds the likeliest word alone, as greedy search does; one of 1 holds them all."""
    args = (pipeline.captioner, pipeline.captioner_processor, [photograph])
    lengths = []
    true_generate = pipeline.captioner.generate

    def generate(**options):
        tokens = true_generate(**options)
        lengths.append(tokens.shape[-1] - 1)  # the start is given
        return tokens

    monkeypatch.setattr(pipeline.captioner, "generate", generate)
    for seed in range(12):
        describe(*args, max_tokens=20, nucleus=1.0, seed=seed)
    assert min(lengths) >= 5 and max(lengths) == 20 and len(set(lengths)) > 2
    describe(*args, max_tokens=3, nucleus=1.0)
    assert lengths[-1] <= 3
    monkeypatch.setattr(captioner_code, "MIN_TOKENS", 0)
    greedy = describe(*args, max_tokens=20, beams=1)
    assert [describe(*args, max_tokens=20, nucleus=1e-6, seed=seed) for seed in (3, 4)] == [greedy, greedy]
    assert len({describe(*args, max_tokens=20, nucleus=1.0, seed=seed)[0] for seed in range(8)}) > 4


@pytest.mark.parametrize("nucleus", [0.0, -0.1, 1.5])
def test_a_nucleus_is_a_probability(pipeline, photograph, nucleus):
    with pytest.raises(ValueError, match="nucleus"):
        describe(pipeline.captioner, pipeline.captioner_processor, [photograph], nucleus=nucleus)


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
