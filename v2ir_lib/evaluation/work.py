"""How much arithmetic each part of the method is at full size, counted from its shapes without running it.

torch's counter adds up matrix products, convolutions and attention, a fused multiply-add as two operations, as makers
of GPUs count them. Tensors are on the meta device: they have shapes and no numbers, so a network of a billion weights
is counted in seconds, on any machine. Norms, activations and whatever else is bound by memory are not in it; the
share of a card's peak that is reached (`cost_model.SHARES`) has to speak for them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import BlipConfig, BlipForConditionalGeneration, CLIPTextConfig, CLIPTextModel

from v2ir_lib.diffusion.lora import add_lora
from v2ir_lib.profiles import Profile
from v2ir_lib.vlum.vit_sam import VitSamWrapper

TOKENS = 77  # of CLIP's text
POINTS_AT_A_TIME = 64  # as `vlum.segmenter.automatic_masks` asks SAM


@dataclass(frozen=True)
class Work:
    """Floating-point operations for one picture, or one prompt."""

    unet_forward: int  # one evaluation of the UNet of 12 channels
    unet_training: int  # forward and backward, all of it trains
    lora_training: int  # forward and backward of the 4-channel UNet, of which only LoRA trains: phase 1
    encode: int  # one picture through the autoencoder's encoder
    decode: int
    prompt: int  # CLIP's text encoder
    caption: int  # BLIP: the picture once, then each word for each beam
    segments: int  # SAM: the picture once, then its grid of points


def count_work(profile: Profile) -> Work:
    """Of a profile that holds the shapes of all its parts, which is `FULL`; about ten seconds on one core."""
    return Work(
        unet_forward=count_unet(profile),
        unet_training=count_unet(profile, backward=True),
        lora_training=count_unet(profile, channels=4, backward=True, lora_rank=profile.phase1.lora_rank),
        encode=count_encoder(profile),
        decode=count_decoder(profile),
        prompt=count_prompt(profile),
        caption=count_captioner(profile),
        segments=count_segmenter(profile),
    )


def count(build: Callable[[], torch.nn.Module], run: Callable[[torch.nn.Module], torch.Tensor], backward=False) -> int:
    """Operations of `run(build())`; both happen on the meta device. backward: and of the gradients behind it."""
    with torch.device("meta"):
        module = build()
        with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward):
            answer = run(module)
            if backward:
                answer.sum().backward()
    return counter.get_total_flops()


def count_unet(profile: Profile, channels: int = 12, backward: bool = False, lora_rank: int = 0) -> int:
    """One sample through the UNet at the profile's image size; with LoRA the weights themselves get no gradients."""
    side, width = latent_side(profile), profile.unet["cross_attention_dim"]

    def build() -> UNet2DConditionModel:
        unet = UNet2DConditionModel.from_config(json.loads(json.dumps(profile.unet)) | {"in_channels": channels})
        if lora_rank:
            add_lora(unet, lora_rank)
        return unet

    def run(unet: UNet2DConditionModel) -> torch.Tensor:
        t, text = torch.zeros(1, dtype=torch.long), torch.randn(1, TOKENS, width)
        return unet(torch.randn(1, channels, side, side), t, encoder_hidden_states=text).sample

    return count(build, run, backward)


def latent_side(profile: Profile) -> int:
    """Latent pixels along a side: image size over the autoencoder's factor, which tiny's folder knows and full's
    configuration says."""
    blocks = len(profile.autoencoder.get("block_out_channels", (0, 0, 0)))
    return profile.image_size // 2 ** (blocks - 1)


def count_encoder(profile: Profile) -> int:
    """One picture into its latent moments."""
    size = profile.image_size
    return count(
        lambda: AutoencoderKL.from_config(profile.autoencoder),
        lambda vae: vae.encode(torch.randn(1, 3, size, size)).latent_dist.mean,
    )


def count_decoder(profile: Profile) -> int:
    """One latent into its picture."""
    side = latent_side(profile)
    return count(
        lambda: AutoencoderKL.from_config(profile.autoencoder),
        lambda vae: vae.decode(torch.randn(1, 4, side, side)).sample,
    )


def count_prompt(profile: Profile) -> int:
    """One prompt into its hidden states."""
    return count(
        lambda: CLIPTextModel(CLIPTextConfig(**profile.text_encoder)),
        lambda encoder: encoder(torch.zeros(1, TOKENS, dtype=torch.long)).last_hidden_state,
    )


def blip_base() -> BlipConfig:
    """BLIP-base (`Salesforce/blip-image-captioning-base`): transformers' defaults are its shapes."""
    return BlipConfig()


def count_captioner(profile: Profile) -> int:
    """BLIP-base's vision transformer once, and the longest caption for each beam, with what was read kept."""
    config = blip_base()
    size, width = config.vision_config.image_size, config.vision_config.hidden_size
    patches, beams = (size // config.vision_config.patch_size) ** 2 + 1, profile.caption_beams
    sees = count(
        lambda: BlipForConditionalGeneration(config),
        lambda blip: blip.vision_model(pixel_values=torch.randn(1, 3, size, size))[0],
    )
    writes = count(
        lambda: BlipForConditionalGeneration(config),
        lambda blip: (
            blip.text_decoder(
                input_ids=torch.zeros(beams, profile.caption_tokens, dtype=torch.long),
                encoder_hidden_states=torch.randn(beams, patches, width),
            ).logits
        ),
    )
    return sees + writes


def count_segmenter(profile: Profile) -> int:
    """SAM's encoder once, and its decoder for each point of the grid; resizing and sorting masks is not in it."""
    shape = profile.vision_transformer
    size, width = shape["image_size"], shape["prompt_dim"]
    places = size // shape["patch_size"]

    def build() -> VitSamWrapper:
        return VitSamWrapper(**shape)

    def decode(segmenter: VitSamWrapper) -> torch.Tensor:
        points = torch.randn(POINTS_AT_A_TIME, 2, width)  # the point itself, and one that stands for "no box"
        masks, _ = segmenter.sam.mask_decoder(
            image_embeddings=torch.randn(1, width, places, places),
            image_pe=torch.randn(1, width, places, places),
            sparse_prompt_embeddings=points,
            dense_prompt_embeddings=torch.randn(POINTS_AT_A_TIME, width, places, places),
            multimask_output=True,
        )
        return masks

    encoder = count(build, lambda segmenter: segmenter.sam.image_encoder(torch.randn(1, 3, size, size)))
    return encoder + count(build, decode) * profile.points_per_side**2 // POINTS_AT_A_TIME
