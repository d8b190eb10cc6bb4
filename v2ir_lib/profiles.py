"""`tiny` and `full`: every difference between the two sizes, as plain data.

No other module asks which size it runs at; it takes a `Profile` and uses its fields. Nothing is built here.
"""

from dataclasses import dataclass, field

from v2ir_lib.errors import UserError


@dataclass(frozen=True)
class Sources:
    """Where each component comes from: a folder below the repository, or a name on a model hub."""

    autoencoder: str
    text_encoder: str
    tokenizer: str
    unet: str
    captioner: str
    segmenter: str
    pipeline: str


@dataclass(frozen=True)
class PhaseSettings:
    """What one phase of the Progressive Learning Module runs with (paper §3.3, §5.1)."""

    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int = 50
    ema_decay: float = 0.999
    accumulation: int = 1  # parts in which a process takes its share of the batch: less memory, the same gradient
    dropout: float = 0.05  # u of the released code's seven bins; 0.02 there, which undertrains short runs
    dropout_scheme: str = "released"  # or "paper", see `diffusion.conditions`
    lora_rank: int = 0  # > 0: only LoRA matrices train (phase 1)
    snr_gamma: float | None = None  # min-SNR weights (Hang et al. 2023, §3.4); None: Eq. 1 as it stands
    first_rate: float = 1.0  # learning rate of the first convolution, whose new channels begin at zero, over the rest's
    window: int = 0  # latent pixels, side of what a step sees of a crop; 0: all of it
    window_share: float = 0.0  # share of the steps, the first ones, that see windows only


@dataclass(frozen=True)
class Guidance:
    """Default sampling: Eq. 2's scales and the number of steps."""

    s_text: float
    s_visible: float
    s_segments: float
    steps: int


@dataclass(frozen=True)
class Profile:
    """One size of the method."""

    name: str
    image_size: int  # pixels, what the UNet's latent stands for
    train_resize: int  # pixels, resized to this and cropped to image_size in training (paper: 286 -> 256)
    reading_size: int  # pixels, what BLIP and SAM read
    sources: Sources
    phase1: PhaseSettings
    phase2: PhaseSettings
    phase3: PhaseSettings
    guidance: Guidance
    segmenter_type: str  # "tiny", or a name in segment_anything's registry
    points_per_side: int  # of the automatic mask generator
    caption_tokens: int  # longest caption that BLIP writes
    caption_beams: int = 3
    prediction: str = "epsilon"  # what the UNet answers (`diffusion.noising`); SD v1.5 and the paper: the noise
    noise_offset: float = 0.0  # of each latent channel's mean, in training (`diffusion.noising`); the paper: none
    prompt: str = "turn the visible image of {caption} into infrared"
    phase1_prompt: str = "an infrared image"
    unet: dict = field(default_factory=dict)  # configuration of the text-to-image UNet, as diffusers writes it
    autoencoder: dict = field(
        default_factory=dict
    )  # the same of E and D; where empty, the folder's own is the only one
    text_encoder: dict = field(default_factory=dict)  # the same of CLIP's text half, as transformers writes it
    vision_transformer: dict = field(default_factory=dict)  # arguments of `vlum.vit_sam.VitSamWrapper`
    segmenter_sha256: str = ""  # published checksum of the segmenter's file, where it is a file


TINY = Profile(
    name="tiny",
    image_size=96,
    train_resize=104,
    reading_size=192,
    sources=Sources(
        autoencoder="models/tiny/autoencoder",
        text_encoder="models/tiny/text_encoder",
        tokenizer="models/tiny/tokenizer",
        unet="models/tiny/base_unet",
        captioner="models/tiny/captioner",
        segmenter="models/tiny/segmenter",
        pipeline="models/tiny/diffv2ir",
    ),
    phase1=PhaseSettings(steps=150, batch_size=32, learning_rate=1e-3, ema_decay=0.99, lora_rank=8),
    phase2=PhaseSettings(
        steps=5000,
        batch_size=16,
        learning_rate=1e-3,
        ema_decay=0.998,
        first_rate=10,
        window=16,
        window_share=0.6,
    ),
    phase3=PhaseSettings(steps=900, batch_size=16, learning_rate=2e-4, ema_decay=0.99),
    guidance=Guidance(s_text=1.5, s_visible=1.5, s_segments=1.5, steps=10),  # chosen on validation scenes
    segmenter_type="tiny",
    points_per_side=8,
    caption_tokens=48,
    prediction="v_prediction",  # minutes of training are too few for eps: see `diffusion.noising`
    noise_offset=0.3,
    unet=dict(
        sample_size=24,
        in_channels=4,
        out_channels=4,
        block_out_channels=(48, 64, 112),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=128,
        norm_num_groups=16,
    ),
)

FULL = Profile(
    name="full",
    image_size=256,
    train_resize=286,
    reading_size=1024,
    sources=Sources(
        autoencoder="stable-diffusion-v1-5/stable-diffusion-v1-5",
        text_encoder="stable-diffusion-v1-5/stable-diffusion-v1-5",
        tokenizer="stable-diffusion-v1-5/stable-diffusion-v1-5",
        unet="stable-diffusion-v1-5/stable-diffusion-v1-5",
        captioner="Salesforce/blip-image-captioning-base",
        segmenter="sam_vit_h_4b8939.pth",
        pipeline="models/full/diffv2ir",
    ),
    phase1=PhaseSettings(steps=15_000, batch_size=32, learning_rate=1e-4, warmup_steps=500, dropout=0.02, lora_rank=16),
    phase2=PhaseSettings(steps=27_000, batch_size=256, learning_rate=1e-4, ema_decay=0.9999, dropout=0.02),
    phase3=PhaseSettings(steps=1_400, batch_size=256, learning_rate=1e-4, ema_decay=0.9999, dropout=0.02),
    guidance=Guidance(s_text=7.5, s_visible=1.5, s_segments=1.5, steps=100),  # Table 4
    segmenter_type="vit_h",
    points_per_side=32,
    caption_tokens=20,
    unet=dict(  # Stable Diffusion v1.5's own: 859,520,964 parameters; with 12 input channels 859,544,004
        sample_size=64,
        in_channels=4,
        out_channels=4,
        block_out_channels=(320, 640, 1280, 1280),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=2,
        attention_head_dim=8,
        cross_attention_dim=768,
        norm_num_groups=32,
    ),
    autoencoder=dict(  # 83,653,863 parameters
        sample_size=512,
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        norm_num_groups=32,
        scaling_factor=0.18215,
    ),
    text_encoder=dict(  # CLIP ViT-L/14's: 123,060,480 parameters
        vocab_size=49408,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=77,
        projection_dim=768,
        hidden_act="quick_gelu",
        layer_norm_eps=1e-5,
        bos_token_id=49406,
        eos_token_id=49407,
    ),
    vision_transformer=dict(  # ViT-H, as its authors build it
        image_size=1024,
        patch_size=16,
        embed_dim=1280,
        depth=32,
        heads=16,
        window_size=14,
        global_blocks=(7, 15, 23, 31),
        prompt_dim=256,
        decoder_mlp_dim=2048,
        decoder_heads=8,
        iou_hidden_dim=256,
        mask_in_chans=16,
        points_per_side=32,
        pred_iou_thresh=0.88,
        stability_score_thresh=0.95,
        box_nms_thresh=0.7,
    ),
    segmenter_sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
)

PROFILES = {profile.name: profile for profile in (TINY, FULL)}


def get_profile(name: str) -> Profile:
    """The profile of that name; `UserError` for any other name."""
    if name not in PROFILES:
        raise UserError(f"unknown profile {name!r}: choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
