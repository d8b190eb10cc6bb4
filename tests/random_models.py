"""Small random models of the tiny architecture's classes: what a test needs where weights do not matter."""


def random_tokenizer(limit: int = 96):
    """A CLIP tokenizer that spells: one token a character."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[], model_max_length=limit)
    assert len(tokenizer) == len(tokens)
    return tokenizer


def random_components(seed: int = 0) -> dict:
    """Every component of `DiffV2IRPipeline`, random: some 0.3 M parameters in all."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
        CLIPTextConfig,
        CLIPTextModel,
    )

    from v2ir_lib.diffusion.sampling import make_scheduler
    from v2ir_lib.vlum.segmenter import SamWrapper

    torch.manual_seed(seed)
    tokenizer = random_tokenizer()
    end = tokenizer.eos_token_id
    small = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            **small, vocab_size=len(tokenizer), max_position_embeddings=96, eos_token_id=end, bos_token_id=end - 1
        )
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=4,
        scaling_factor=0.7,
        sample_size=96,
    )
    unet = UNet2DConditionModel(
        sample_size=24,
        in_channels=12,
        out_channels=4,
        block_out_channels=(8, 16, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=32,
        norm_num_groups=4,
    )
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"a street at night with two people and car".split()]
    bert = BertTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=24)
    text = small | dict(vocab_size=len(words), max_position_embeddings=24, encoder_hidden_size=32, projection_dim=32)
    ids = dict(bos_token_id=2, eos_token_id=3, sep_token_id=3, pad_token_id=0)
    vision = small | dict(image_size=48, patch_size=16, initializer_range=0.02)
    segmenter = SamWrapper(
        image_size=48, widths=(8, 8, 16, 16), blocks=1, prompt_dim=16, decoder_mlp_dim=16, decoder_heads=2,
        iou_hidden_dim=8, mask_in_chans=4, points_per_side=3, pred_iou_thresh=-9.0, stability_score_thresh=0.0,
    )  # fmt: skip
    return dict(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=make_scheduler(),
        captioner=BlipForConditionalGeneration(BlipConfig(text_config=text | ids, vision_config=vision)),
        captioner_processor=BlipProcessor(BlipImageProcessor(size={"height": 48, "width": 48}), bert),
        segmenter=segmenter,
    )
