"""A few test scenes with the boxes that each detector found: kept in the result, and drawn."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torchvision.utils import draw_bounding_boxes

from v2ir_lib.evaluation.detector_boxes import KINDS, Boxes
from v2ir_lib.evaluation.detector_scores import Detections
from v2ir_lib.evaluation.detector_study import ARMS, TRANSLATED, TRUE, Found
from v2ir_lib.evaluation.pictures import save_sheet

SHOWN = {"night": 2, "dusk": 1, "day": 1}
LEAST_SHOWN = 0.3  # score
COLOURS = {"person": (255, 120, 60), "car": (70, 190, 255)}
ZOOM, CELL = 3, 1.8  # inches: at the style's 160 dots, every dot of an enlarged picture of 96 pixels is drawn


def examples(found: Found, boxes: list[Boxes], groups: dict[str, np.ndarray]) -> dict[str, dict]:
    """Scene → time, true boxes, and what each arm's first detector found in true infrared.

    The first scenes of each time in which both kinds are asked for. A box is "kind score x0 y0 x1 y1", in pixels.
    """
    both = [len(set(one.labels[one.asked])) == len(KINDS) for one in boxes]
    shown = {}
    for time, count in SHOWN.items():
        for scene in [i for i in groups.get(time, ()) if both[i]][:count]:
            truth = boxes[scene]
            answers = {arm: found.infrared[arm][0] for arm in ARMS}
            shown[str(scene)] = {
                "time": time,
                "truth": _words(truth.labels[truth.asked], np.ones(truth.asked.sum()), truth.corners[truth.asked]),
                "found": {arm: _found(some, scene) for arm, some in answers.items()},
            }
    return shown


def _found(some: Detections, scene: int) -> list[str]:
    mine = some.only((some.scenes == scene) & (some.scores >= LEAST_SHOWN))
    return _words(mine.labels, mine.scores, mine.corners)


def _words(labels: np.ndarray, scores: np.ndarray, corners: np.ndarray) -> list[str]:
    return [
        f"{KINDS[label - 1]} {score:.2f} " + " ".join(f"{side:.1f}" for side in box)
        for label, score, box in zip(labels, scores, corners, strict=True)
    ]


def with_boxes(picture: np.ndarray, boxes: Iterable[str]) -> np.ndarray:
    """A grey picture uint8 (h, w), enlarged, with boxes as `examples` writes them: uint8 (ZOOM·h, ZOOM·w, 3)."""
    large = torch.from_numpy(np.kron(picture, np.ones((ZOOM, ZOOM), np.uint8))).expand(3, -1, -1)
    kinds = [box.split()[0] for box in boxes]
    if kinds:
        corners = torch.tensor([[float(side) * ZOOM for side in box.split()[2:]] for box in boxes])
        large = draw_bounding_boxes(large, corners, colors=[COLOURS[kind] for kind in kinds], width=2)
    return large.permute(1, 2, 0).numpy()


def columns_of(
    shown: dict[str, dict], visible: np.ndarray, pictures: dict[str, np.ndarray]
) -> dict[str, list[np.ndarray]]:
    """Columns of pictures, a row for each example: visible, its translation, the truth, and what each arm found.

    visible: uint8 (N, h, w, 3) of all tested scenes; pictures: arm → uint8 (N, h, w), of which two are needed.
    """
    scenes = [int(scene) for scene in shown]
    columns = {"visible": [visible[i] for i in scenes], "translation": [pictures[TRANSLATED][i] for i in scenes]}
    columns["true boxes"] = [with_boxes(pictures[TRUE][i], shown[str(i)]["truth"]) for i in scenes]
    for arm in ARMS:
        columns[f"learnt from {arm}"] = [with_boxes(pictures[TRUE][i], shown[str(i)]["found"][arm]) for i in scenes]
    return columns


def save_examples(path: Path, shown: dict[str, dict], visible: np.ndarray, pictures: dict[str, np.ndarray]) -> None:
    """The sheet as a picture file; nothing where no scene has both kinds."""
    if shown:
        caption = (
            "Persons orange, cars blue. Detectors that differ in their training pictures alone, on true infrared that "
            f"none has seen; scores of {LEAST_SHOWN} and more."
        )
        labels = [one["time"] for one in shown.values()]
        save_sheet(path, columns_of(shown, visible, pictures), caption=caption, labels=labels, cell=CELL)
