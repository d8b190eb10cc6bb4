"""Segment Anything as it was published: a vision transformer in front, weights in a .pth file with a checksum.

The file is a pickle. It is read under torch's allow-list, and only once its SHA-256 is the published one.
"""

import pickle
from functools import partial
from pathlib import Path

import torch
from accelerate import init_empty_weights
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from v2ir_lib.errors import UserError
from v2ir_lib.files import sha256
from v2ir_lib.vlum.segmenter import PIXEL_MEAN, PIXEL_STD
from v2ir_lib.weights import compare_shapes


class VitSamWrapper(ModelMixin, ConfigMixin):
    """A `Sam` (attribute `sam`) with a vision transformer, which a pipeline can save: config.json + safetensors.

    The defaults are ViT-H's, its thresholds SamAutomaticMaskGenerator's published ones. Used just as `SamWrapper`.
    """

    @register_to_config
    def __init__(
        self,
        image_size: int = 1024,
        patch_size: int = 16,
        embed_dim: int = 1280,
        depth: int = 32,
        heads: int = 16,
        window_size: int = 14,
        global_blocks: tuple[int, ...] = (7, 15, 23, 31),
        prompt_dim: int = 256,
        decoder_mlp_dim: int = 2048,
        decoder_heads: int = 8,
        iou_hidden_dim: int = 256,
        mask_in_chans: int = 16,
        points_per_side: int = 32,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        box_nms_thresh: float = 0.7,
    ):
        super().__init__()
        places = image_size // patch_size
        self.sam = Sam(
            image_encoder=ImageEncoderViT(
                img_size=image_size,
                patch_size=patch_size,
                embed_dim=embed_dim,
                depth=depth,
                num_heads=heads,
                mlp_ratio=4,
                out_chans=prompt_dim,
                qkv_bias=True,
                norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
                use_rel_pos=True,
                window_size=window_size,
                global_attn_indexes=tuple(global_blocks),
            ),
            prompt_encoder=PromptEncoder(
                embed_dim=prompt_dim,
                image_embedding_size=(places, places),
                input_image_size=(image_size, image_size),
                mask_in_chans=mask_in_chans,
            ),
            mask_decoder=MaskDecoder(
                num_multimask_outputs=3,
                transformer=TwoWayTransformer(
                    depth=2, embedding_dim=prompt_dim, mlp_dim=decoder_mlp_dim, num_heads=decoder_heads
                ),
                transformer_dim=prompt_dim,
                iou_head_depth=3,
                iou_head_hidden_dim=iou_hidden_dim,
            ),
            pixel_mean=PIXEL_MEAN,
            pixel_std=PIXEL_STD,
        )

    def forward(self, batched_input, multimask_output: bool):
        return self.sam(batched_input, multimask_output)


def load_published_sam(file: str | Path, config: dict, checksum: str) -> VitSamWrapper:
    """SAM's published weights, float32, in eval mode; config: arguments of `VitSamWrapper`; checksum: SHA-256, hex.

    `UserError` where the file is missing, is not the published one, or does not fit the configuration. The checksum
    comes first: a file that is not the known one is never opened as a pickle.
    """
    file = Path(file)
    if not file.is_file():
        raise UserError(f"model file missing: {file}")
    found = sha256(file)
    if found != checksum:
        raise UserError(f"{file} is damaged or another file: its SHA-256 is {found}, the published one {checksum}")
    try:
        weights = torch.load(file, map_location="cpu", weights_only=True)
        shapes = {name: tuple(value.shape) for name, value in weights.items()}
    except (pickle.UnpicklingError, RuntimeError, AttributeError, EOFError) as error:
        raise UserError(f"cannot read {file}: not a file of weights ({' '.join(str(error).split())[:120]})") from None
    with init_empty_weights():  # buffers are real: pixel_mean and pixel_std are not in the file
        wrapper = VitSamWrapper(**config)
    compare_shapes(file, shapes, {name: tuple(value.shape) for name, value in wrapper.sam.state_dict().items()})
    wrapper.sam.load_state_dict(weights, assign=True)
    return wrapper.float().eval()
