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


# Equal bins of one uniform number: what is lost in each.
#
# "released": seven bins, in the order of the released code. In all 7 u of the samples lose something, and each
# condition is dropped in four bins of them.
#
# "paper" (§3.4): "certain conditionings are randomly set to none […], with 2% of examples varying from fully
# unconditioned to having only one conditioning". Read as it stands: four cases, nothing given or one condition alone,
# 2% each (u = 0.02). Then no sample has exactly two conditions, though Eq. 2 asks the network for eps(V, S, ∅): with
# text missing alone it is never trained. The released bins train it, and they are what the authors ran: our default.
DROPOUT_BINS = (
    ("text",),
    ("text", "visible"),
    ("text", "visible", "segments"),
    ("text", "segments"),
    ("visible", "segments"),
    ("visible",),
    ("segments",),
)
DROPOUT_SCHEMES = {
    "released": DROPOUT_BINS,
    "paper": (("text", "visible", "segments"), ("visible", "segments"), ("text", "segments"), ("text", "visible")),
}


def dropout_bins(r: torch.Tensor, u: float, scheme: str = "released") -> dict[str, torch.Tensor]:
    """Which samples lose which condition: r uniform in [0, 1) (B,) → masks (B,) for `Conditions.drop`.

    Bin k is [k·u, (k + 1)·u); beyond the last nothing is dropped. Raises `ValueError` for a scheme not in
    `DROPOUT_SCHEMES`, and for a u whose bins do not fit: it lies in [0, 1/7], in [0, 1/4] for "paper".
    """
    if scheme not in DROPOUT_SCHEMES:
        raise ValueError(f"unknown dropout scheme {scheme!r}: choose one of {', '.join(DROPOUT_SCHEMES)}")
    lost = DROPOUT_SCHEMES[scheme]
    if not 0 <= u <= 1 / len(lost):
        raise ValueError(f"u must lie in [0, 1/{len(lost)}], not {u}")
    bins = [(r >= k * u) & (r < (k + 1) * u) for k in range(len(lost))]
    return {
        name: torch.stack([hit for hit, dropped in zip(bins, lost, strict=True) if name in dropped]).any(0)
        for name in ("text", "visible", "segments")
    }
