"""Segment Anything, in the class that its authors published, at any size; its masks for a whole picture.

The released file format of SAM is a pickle. Ours is a folder with `config.json` and safetensors: `SamWrapper` keeps the
arguments that the network was built with, and with them the thresholds that its own scores were calibrated for.
"""

import numpy as np
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from v2ir_lib.vlum.conv_encoder import ConvEncoder

PIXEL_MEAN, PIXEL_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

STRIDE = 8  # pixels of the picture behind one place of its embedding

# About 1.5 M parameters, most of them in the encoder; 24 x 24 places, masks of 96 x 96.
TINY_SAM = dict(
    image_size=192,
    widths=(24, 48, 96, 96),
    blocks=2,
    prompt_dim=96,
    decoder_mlp_dim=128,
    decoder_heads=4,
    iou_hidden_dim=64,
    mask_in_chans=16,
)


def build_sam(
    *,
    image_size: int,
    widths: tuple[int, int, int, int],
    blocks: int,
    prompt_dim: int,
    decoder_mlp_dim: int,
    decoder_heads: int,
    iou_hidden_dim: int,
    mask_in_chans: int,
) -> Sam:
    """A `Sam` with random weights around a `ConvEncoder`; its masks have image_size / 2 pixels a side."""
    places = image_size // STRIDE
    return Sam(
        image_encoder=ConvEncoder(image_size, tuple(widths), blocks, prompt_dim),
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


def build_tiny_sam() -> Sam:
    """The `Sam` of the tiny profile, with random weights: 192-pixel pictures, 96-pixel masks."""
    return build_sam(**TINY_SAM)


class SamWrapper(ModelMixin, ConfigMixin):
    """A `Sam` (attribute `sam`) that a pipeline can save and load: config.json + safetensors, no pickle.

    `pred_iou_thresh`, `stability_score_thresh` and `box_nms_thresh` are SamAutomaticMaskGenerator's, calibrated for
    these weights: the published defaults suit ViT-H, and a small network may return no mask at all under them.
    """

    @register_to_config
    def __init__(
        self,
        image_size: int = 192,
        widths: tuple[int, int, int, int] = (24, 48, 96, 96),
        blocks: int = 2,
        prompt_dim: int = 96,
        decoder_mlp_dim: int = 128,
        decoder_heads: int = 4,
        iou_hidden_dim: int = 64,
        mask_in_chans: int = 16,
        points_per_side: int = 12,
        pred_iou_thresh: float = 0.7,
        stability_score_thresh: float = 0.8,
        box_nms_thresh: float = 0.7,
    ):
        super().__init__()
        self.sam = build_sam(
            image_size=image_size,
            widths=widths,
            blocks=blocks,
            prompt_dim=prompt_dim,
            decoder_mlp_dim=decoder_mlp_dim,
            decoder_heads=decoder_heads,
            iou_hidden_dim=iou_hidden_dim,
            mask_in_chans=mask_in_chans,
        )

    def forward(self, batched_input, multimask_output: bool):
        return self.sam(batched_input, multimask_output)


def automatic_masks(segmenter: SamWrapper, image: np.ndarray, points_per_side: int | None = None) -> np.ndarray:
    """Masks of everything in a picture: uint8 (H, W, 3) in, bool (N, H, W) out, best score first; N may be 0.

    A grid of points_per_side² points prompts the network; the thresholds are those in the segmenter's config.
    The picture is best given at `segmenter.config.image_size` on its longer side: masks cost time at its full size.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"a picture must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
    config = segmenter.config
    generator = SamAutomaticMaskGenerator(
        segmenter.sam,
        points_per_side=points_per_side or config.points_per_side,
        points_per_batch=64,
        pred_iou_thresh=config.pred_iou_thresh,
        stability_score_thresh=config.stability_score_thresh,
        box_nms_thresh=config.box_nms_thresh,
    )
    found = generator.generate(image)
    found.sort(key=lambda record: (-record["predicted_iou"], record["bbox"]))
    return np.array([record["segmentation"] for record in found], dtype=bool).reshape(-1, *image.shape[:2])
