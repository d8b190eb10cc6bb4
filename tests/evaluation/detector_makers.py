"""Boxes and detections from short lists, for the tests of the detector."""

import numpy as np

from v2ir_lib.evaluation.detector_boxes import Boxes
from v2ir_lib.evaluation.detector_scores import Detections

SIZE = 32
PERSON, CAR = 1, 2


def boxes(*found, asked=True) -> Boxes:
    """Boxes from (label, x0, y0, x1, y1), all learnt."""
    table = np.array(found, np.float32).reshape(-1, 5)
    every = np.ones(len(table), bool)
    return Boxes(table[:, 1:], table[:, 0].astype(np.int64), every, every & asked)


def detections(*found) -> Detections:
    """From (scene, label, score, x0, y0, x1, y1)."""
    table = np.array(found, np.float32).reshape(-1, 7)
    return Detections(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2], table[:, 3:])
