"""The shipped sample scenes as arrays: what a notebook looks at. `sample_latents` encodes them."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from v2ir_lib.diffusion.images import read_image
from v2ir_lib.errors import UserError
from v2ir_lib.files import repo_root
from v2ir_lib.records import read_manifest
from v2ir_lib.vlum.segments import masks_of_labels, regions


@dataclass(frozen=True)
class Samples:
    """N simulated scenes; no shipped model was trained on them."""

    groups: list[str]  # scene numbers, as in the manifest
    captions: list[str]
    visible: np.ndarray  # uint8 (N, 192, 192, 3), sRGB
    infrared: dict[str, np.ndarray]  # camera → uint8 (N, 96, 96)

    def __len__(self) -> int:
        return len(self.groups)


def read_samples(count: int | None = None, cameras: tuple[str, ...] = ()) -> Samples:
    """The first `count` scenes of `data_samples/` (None: all), with the infrared pictures of these cameras.

    `UserError` for a camera that took no sample pictures.
    """
    folder = repo_root() / "data_samples"
    rows = read_manifest(folder / "manifest.csv")
    known = dict.fromkeys(row.camera for row in rows)
    for camera in cameras:
        if camera not in known:
            raise UserError(f"no sample pictures of {camera!r}: choose among {', '.join(known)}")
    scenes = list({row.group: row for row in rows}.values())[:count]
    paths = {(row.group, row.camera): folder / row.infrared for row in rows}
    infrared = {
        camera: np.stack([np.asarray(Image.open(paths[row.group, camera])) for row in scenes]) for camera in cameras
    }
    visible = np.stack([read_image(folder / row.visible) for row in scenes])
    return Samples([row.group for row in scenes], [row.caption for row in scenes], visible, infrared)


def read_regions(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """The true regions of these scenes: numbers of their objects, 0 for none, and classes; both (N, 192, 192)."""
    folder = repo_root() / "data_samples"
    return tuple(
        np.stack([np.asarray(Image.open(folder / kind / f"{group}_00.png")) for group in samples.groups])
        for kind in ("instances", "classes")
    )


def true_regions(samples: Samples) -> np.ndarray:
    """The scenes' true regions, drawn as SAM's masks are: one for each thing, one for each class around; uint8 (N, 192,
    192, 3). They cost nothing, where SAM takes seconds a picture."""
    folder = repo_root() / "data_samples"

    def labels(kind: str, group: str) -> np.ndarray:
        return np.asarray(Image.open(folder / kind / f"{group}_00.png")).astype(np.int64)

    every = [labels("instances", group) * 1000 + labels("classes", group) + 1 for group in samples.groups]
    return np.stack([regions(masks_of_labels(one)) for one in every])
