"""All that is asked of a translation, one number a picture: metrics, physics checks, errors by class.

The names are the ones in every result file. What could not be asked of a picture is NaN; what could not be asked of any
(no visible pictures, no masks) is missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from v2ir_lib.evaluation.photographs import METRICS as PIXEL
from v2ir_lib.metrics.physics_checks import (
    beyond_luma,
    contrast,
    edge_agreement,
    lamp_leak,
    luma_correlation,
    order_kept,
    region_error,
)
from v2ir_lib.world import CLASSES

Scores = dict[str, np.ndarray]  # name → one value a picture, (N,)


@dataclass(frozen=True)
class Metric:
    """`better`: higher, lower, zero (the nearer to it), or "" where the value is there to be compared."""

    unit: str
    better: str
    says: str


GROUND = ("road", "pavement", "grass", "soil")
ORDERS = {  # what is compared with the ground, and at what times ("": any)
    "people": (("person",), ("night",)),
    "sky": (("sky",), ("",)),
    "water": (("water",), ("",)),
}
METRICS = {
    "psnr": Metric("dB", "higher", "PSNR"),
    "ssim": Metric("", "higher", "SSIM"),
    "psnr_aligned": Metric("dB", "higher", "PSNR after the gain and offset that suit best"),
    "ssim_aligned": Metric("", "higher", "SSIM after the gain and offset that suit best"),
    "edge_agreement": Metric("", "higher", "correlation of the gradients"),
    "luma_correlation": Metric("", "", "correlation with the visible picture's luma"),
    "luma_correlation_truth": Metric("", "", "the same of the true infrared"),
    "beyond_luma": Metric("", "higher", "share told of what no tone curve of grey can tell"),
    "lamp_leak": Metric("grey levels", "zero", "too bright around visible lamps in the dark"),
    "people_order": Metric("share", "higher", "people against ground at night: the right one is the warmer"),
    "people_contrast": Metric("grey levels", "zero", "people less ground at night: contrast, picture less truth"),
    "sky_order": Metric("share", "higher", "sky against ground: the right one is the warmer"),
    "sky_contrast": Metric("grey levels", "zero", "sky less ground: contrast, picture less truth"),
    "water_order": Metric("share", "higher", "water against ground: the right one is the warmer"),
    "water_contrast": Metric("grey levels", "zero", "water less ground: contrast, picture less truth"),
}


def score(
    pictures: np.ndarray,
    truth: np.ndarray,
    luma: np.ndarray | None = None,
    classes: np.ndarray | None = None,
    times: Sequence[str] | None = None,
) -> Scores:
    """Every metric and check of pictures against their truth, both uint8 (N, H, W).

    luma: of the visible pictures, uint8 (N, H, W). classes: (N, H, W), numbers in `CLASSES`; then also "error CLASS"
    and "bias CLASS". times: day, dusk, night, or "" where unknown; people are looked at by night, lamps not by day.
    """
    found = {name: function(pictures, truth) for name, function in PIXEL.items()}
    found["edge_agreement"] = edge_agreement(pictures, truth)
    if luma is not None:
        found["luma_correlation"] = luma_correlation(pictures, luma)
        found["luma_correlation_truth"] = luma_correlation(truth, luma)
        found["beyond_luma"] = beyond_luma(pictures, truth, luma)
        by_day = np.array([time == "day" for time in times or [""] * len(truth)])
        found["lamp_leak"] = np.where(by_day, np.nan, lamp_leak(pictures, truth, luma))
    if classes is not None:
        found |= _orders(pictures, truth, classes, times or [""] * len(truth))
        for number, name in enumerate(CLASSES):
            found[f"error {name}"], found[f"bias {name}"] = region_error(pictures, truth, classes == number)
    return found


def _orders(pictures: np.ndarray, truth: np.ndarray, classes: np.ndarray, times: Sequence[str]) -> Scores:
    found = {}
    ground = np.isin(classes, [CLASSES.index(name) for name in GROUND])
    for name, (kinds, when) in ORDERS.items():
        region = np.isin(classes, [CLASSES.index(kind) for kind in kinds])
        asked = np.array([when == ("",) or time in when for time in times])
        ours, true = (np.where(asked, contrast(x, region, ground), np.nan) for x in (pictures, truth))
        found[f"{name}_order"] = order_kept(ours, true)
        found[f"{name}_contrast"] = ours - true
    return found
