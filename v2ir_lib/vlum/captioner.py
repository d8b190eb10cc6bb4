"""BLIP says what is in a picture (paper §3.4): it names what may be warm, and season, weather and light."""

from pathlib import Path

import numpy as np
import torch
from transformers import BlipForConditionalGeneration, BlipProcessor

from v2ir_lib.errors import UserError
from v2ir_lib.weights import load_model


def load_captioner(folder: str | Path, device: str = "cpu") -> BlipForConditionalGeneration:
    """BLIP from a local folder of safetensors, float32."""
    return load_model(BlipForConditionalGeneration, folder, device)


def load_captioner_processor(folder: str | Path) -> BlipProcessor:
    """BLIP's image processor and tokenizer, from the same folder or their own; `UserError` where one is missing."""
    folder = Path(folder)
    if not ((folder / "processor_config.json").is_file() or (folder / "preprocessor_config.json").is_file()):
        raise UserError(f"model file missing: {folder / 'processor_config.json'}")
    if not ((folder / "tokenizer.json").is_file() or (folder / "vocab.txt").is_file()):
        raise UserError(f"model file missing: {folder / 'tokenizer.json'}")
    try:
        return BlipProcessor.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever the reader makes of a damaged file
        raise UserError(f"cannot read the processor in {folder}: {' '.join(str(error).split())[:200]}") from None


@torch.no_grad()
def describe(
    captioner: BlipForConditionalGeneration,
    processor: BlipProcessor,
    images: list[np.ndarray],
    *,
    max_tokens: int = 48,
    beams: int = 3,
    nucleus_seed: int | None = None,
) -> list[str]:
    """One caption for each picture (uint8 (H, W, 3), any size: the processor resizes), all in one batch.

    Beam search, so the same picture always gets the same words. With `nucleus_seed` it samples (p = 0.9, at least 5
    tokens) as the released code does, from that seed; the global random state is left as it was.
    """
    pixels = processor.image_processor(images=[np.array(image) for image in images], return_tensors="pt").pixel_values
    pixels = pixels.to(captioner.device, captioner.dtype)
    if nucleus_seed is None:
        tokens = captioner.generate(pixel_values=pixels, max_new_tokens=max_tokens, num_beams=beams, do_sample=False)
    else:
        with torch.random.fork_rng(devices=[captioner.device] if captioner.device.type == "cuda" else []):
            torch.manual_seed(nucleus_seed)
            tokens = captioner.generate(
                pixel_values=pixels, max_new_tokens=max_tokens, min_length=5, do_sample=True, top_p=0.9
            )
    return [text.strip() for text in processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)]
