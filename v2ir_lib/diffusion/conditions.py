"""What the UNet is told beside the noisy latent: text, visible latent, segments latent (paper §3.4).

One small type that conditioning dropout, the branches of the guidance and batching all speak.
"""

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Conditions:
    """text (B, T, D) float; visible, segments (B, 4, h, w) float, unscaled posterior modes (see `latents.py`)."""

    text: torch.Tensor
    visible: torch.Tensor
    segments: torch.Tensor

    def __len__(self) -> int:
        return len(self.visible)

    def null(self, null_text: torch.Tensor) -> "Conditions":
        """All three absent: the text becomes the encoding of "" (1 or B, T, D), an image becomes a zero latent."""
        everything = torch.ones(len(self), dtype=torch.bool, device=self.visible.device)
        return self.drop(null_text, text=everything, visible=everything, segments=everything)

    def drop(self, null_text: torch.Tensor, *, text=None, visible=None, segments=None) -> "Conditions":
        """Copy in which samples whose mask (bool, (B,)) is true lose that condition; a mask of None drops nothing."""

        def blank(values, mask, null):
            if mask is None:
                return values
            mask = mask.to(values.device).reshape(-1, *[1] * (values.ndim - 1))
            return torch.where(mask, null.to(values), values)

        zero = torch.zeros(())
        return Conditions(
            text=blank(self.text, text, null_text),
            visible=blank(self.visible, visible, zero),
            segments=blank(self.segments, segments, zero),
        )

    def select(self, index) -> "Conditions":
        """The samples that an index, slice or mask selects; the batch dimension stays."""
        index = slice(index, index + 1) if isinstance(index, int) else index
        return replace(self, text=self.text[index], visible=self.visible[index], segments=self.segments[index])

    def to(self, *args, **kwargs) -> "Conditions":
        """`torch.Tensor.to` on all three."""
        return Conditions(*(value.to(*args, **kwargs) for value in (self.text, self.visible, self.segments)))

    @staticmethod
    def cat(parts: list["Conditions"]) -> "Conditions":
        """One batch out of several."""
        return Conditions(*(torch.cat([getattr(p, name) for p in parts]) for name in ("text", "visible", "segments")))


# Seven equal bins of one uniform number, in this order, as released. In all 7 u of the samples lose something, and each
# condition is dropped in four bins of them. The paper's text says 2% (u = 0.02) for each case.
DROPOUT_BINS = (
    ("text",),
    ("text", "visible"),
    ("text", "visible", "segments"),
    ("text", "segments"),
    ("visible", "segments"),
    ("visible",),
    ("segments",),
)


def dropout_bins(r: torch.Tensor, u: float) -> dict[str, torch.Tensor]:
    """Which samples lose which condition: r uniform in [0, 1) (B,) → masks (B,) for `Conditions.drop`.

    Bin k is [k·u, (k + 1)·u); beyond the seventh nothing is dropped. u in [0, 1/7].
    """
    if not 0 <= u <= 1 / 7:
        raise ValueError(f"u must lie in [0, 1/7], not {u}")
    bins = [(r >= k * u) & (r < (k + 1) * u) for k in range(len(DROPOUT_BINS))]
    return {
        name: torch.stack([hit for hit, dropped in zip(bins, DROPOUT_BINS, strict=True) if name in dropped]).any(0)
        for name in ("text", "visible", "segments")
    }
