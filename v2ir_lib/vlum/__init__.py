"""Vision-language understanding (paper §3.4): a picture in, words (BLIP) and a segmentation map (SAM) out."""
