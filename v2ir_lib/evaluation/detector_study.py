"""The trainings behind `results/detector.json`: arms, folds and seeds, each kept in the cache under what decides it."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation import detector_training as training
from v2ir_lib.evaluation.baselines import grey, inverted_grey
from v2ir_lib.evaluation.detector_boxes import Boxes
from v2ir_lib.evaluation.detector_scores import Detections
from v2ir_lib.evaluation.scenes import Scenes, translate
from v2ir_lib.files import atomic_path, cache_dir
from v2ir_lib.plm.cache import fingerprint, weights_fingerprint

TRUE, TRANSLATED, GREY, INVERTED = ARMS = ("true infrared", "translated", "grey", "inverted grey")
BLIND = "blind"  # not trained: other scenes' boxes
BLIND_SCENES = 5
VERSION = 1  # of the training's code: raise it when the same settings give another detector


@dataclass(frozen=True)
class Run:
    """One detector's answers on the scenes of its fold: in true infrared, and in the kind of picture it learnt from."""

    infrared: Detections
    own: Detections
    loss: float


@dataclass(frozen=True)
class Study:
    """What all arms share, and the pictures, in which alone they differ.

    pictures: arm → uint8 (N, h, w), the `tested` scenes first, then those that all train on and none is tested on.
    Scene i of the tested ones belongs to fold i mod `folds`; its detectors have not trained on it.
    """

    pictures: dict[str, np.ndarray]
    boxes: list[Boxes]
    tested: int
    folds: int
    steps: int

    def __post_init__(self):
        if self.folds > self.tested:
            raise UserError(f"{self.folds} folds of {self.tested} scenes: give every fold a scene, fewer --folds do")
        if any(len(some) != len(self.boxes) for some in self.pictures.values()):
            raise ValueError("one picture a scene, in every arm")

    def fold(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the scenes that train, and of those that test."""
        every = np.arange(len(self.boxes))
        tests = (every < self.tested) & (every % self.folds == number)
        return every[~tests], every[tests]

    def key(self, arm: str, fold: int, seed: int) -> str:
        """A hash of all that decides a run, its pictures included."""
        train, test = self.fold(fold)
        pictures = self.pictures[arm]
        start = weights_fingerprint(training.new_detector(seed, pictures.shape[-1]))
        truth = [part for i in train for part in self.boxes[i].to_learn()]
        tests = pictures[test], self.pictures[TRUE][test], test
        return fingerprint(VERSION, training.SETTINGS, start, self.steps, seed, pictures[train], *truth, *tests)

    def run(self, arm: str, fold: int, seed: int) -> Run:
        """One detector, trained on the arm's pictures; out of the cache where it is there."""
        name = f"{arm.replace(' ', '-')}-{fold}-{seed}-{self.key(arm, fold, seed)[:16]}.npz"
        path = cache_dir() / "evaluation" / "detector" / name
        found = _read(path)
        if found is None:
            train, test = self.fold(fold)
            learnt = [self.boxes[i] for i in train]
            done = training.train(self.pictures[arm][train], learnt, self.steps, seed, f"{arm}, fold {fold}")
            on_infrared, on_own = (training.detect(done.model, self.pictures[kind][test], test) for kind in (TRUE, arm))
            found = Run(on_infrared, on_own, done.loss)
            _write(path, found)
        return found

    def blind(self, fold: int, seed: int) -> Detections:
        """Chance: the boxes of a few random training scenes, in random order of score. It knows where cars usually are.

        The same for every arm, as their boxes are.
        """
        train, test = self.fold(fold)
        rng, parts = np.random.default_rng([seed, 2]), []
        for scene in test:
            for other in rng.choice(train, min(BLIND_SCENES, len(train)), replace=False):
                corners, labels = self.boxes[other].to_learn()
                scores = rng.random(len(labels)).astype(np.float32)
                parts.append(Detections(np.full(len(labels), scene), labels, scores, corners))
        return Detections.joined(parts)


@dataclass
class Found:
    """Answers over all folds, and final losses: one entry a seed."""

    infrared: dict[str, list[Detections]]
    own: dict[str, list[Detections]]
    losses: dict[str, list[float]]


def run_all(study: Study, seeds: Sequence[int]) -> Found:
    """Every arm, fold and seed. Seed by seed, so that an interrupted study has whole seeds behind it."""
    jobs = [(seed, fold, arm) for seed in seeds for fold in range(study.folds) for arm in study.pictures]
    runs = {job: study.run(job[2], job[1], job[0]) for job in tqdm(jobs, desc="detectors", unit="detector")}
    found = Found({BLIND: []}, {}, {})
    for seed in seeds:
        found.infrared[BLIND].append(Detections.joined([study.blind(fold, seed) for fold in range(study.folds)]))
        for arm in study.pictures:
            mine = [runs[seed, fold, arm] for fold in range(study.folds)]
            found.infrared.setdefault(arm, []).append(Detections.joined([run.infrared for run in mine]))
            found.own.setdefault(arm, []).append(Detections.joined([run.own for run in mine]))
            found.losses.setdefault(arm, []).append(round(float(np.mean([run.loss for run in mine])), 4))
    return found


def pictures_of(pipeline, scenes: Scenes, guidance: dict, seed: int) -> dict[str, np.ndarray]:
    """What each arm trains on, uint8 (N, h, w): the same scenes in the same order."""
    return {
        TRUE: scenes.infrared,
        TRANSLATED: translate(pipeline, scenes, guidance, seed),
        GREY: grey(scenes.visible),
        INVERTED: inverted_grey(scenes.visible),
    }


def _write(path: Path, run: Run) -> None:
    arrays = {"loss": np.array(run.loss)}
    for kind in ("infrared", "own"):
        arrays |= {f"{kind}_{name}": part for name, part in vars(getattr(run, kind)).items()}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def _read(path: Path) -> Run | None:
    """A cached run, never unpickled; None where there is none, or a damaged one, which is named and set aside."""
    names = Detections.__dataclass_fields__
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = [Detections(*(file[f"{kind}_{name}"] for name in names)) for kind in ("infrared", "own")]
            return Run(*parts, float(file["loss"]))
    except FileNotFoundError:
        return None
    except Exception:  # a truncated archive raises one of half a dozen types; all mean: train again
        os.replace(path, path.with_suffix(".damaged"))
        print(f"{path} is damaged: kept as .damaged, and trained again", file=sys.stderr)
        return None
