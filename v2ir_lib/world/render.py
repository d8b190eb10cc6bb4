"""One scene, all its pictures."""

from dataclasses import dataclass

import numpy as np

from v2ir_lib.world import CLASSES
from v2ir_lib.world.assemble import assemble
from v2ir_lib.world.captions import attributes_of_scene, caption_of
from v2ir_lib.world.infrared import band_images, temperature
from v2ir_lib.world.light import light_of
from v2ir_lib.world.scene import Scene
from v2ir_lib.world.surfaces import coarser, surfaces_of
from v2ir_lib.world.trace import trace
from v2ir_lib.world.visible import visible_picture, visible_radiance

LEAST_PIXELS = 30  # an object smaller than this, at 192 pixels, is neither numbered nor told


@dataclass(frozen=True)
class Rendered:
    """All pictures of one scene. The 192-pixel ones cover the same view as the 96-pixel ones, exactly."""

    visible: np.ndarray | None  # uint8 (192, 192, 3), sRGB
    radiance: np.ndarray | None  # float32 (4, 96, 96), W/m²/sr, in the order of BANDS
    kelvin: np.ndarray | None  # float32 (96, 96), of the surface; the air's for the sky
    instances: np.ndarray  # uint8 (192, 192), 0 = stuff, then one number an object
    classes: np.ndarray  # uint8 (192, 192), index into CLASSES
    caption: str
    spec: dict  # the scene's description, with "attributes" and "instances"


def render_scene(scene: Scene, visible: bool = True, infrared: bool = True) -> Rendered:
    """Trace and shade `scene`; the same scene gives the same bytes on the same machine."""
    assembly = assemble(scene)
    light = light_of(scene)
    mirror = visible and (scene.weather == "rain" or scene.setting in ("waterside", "park"))
    traced = trace(scene, assembly, infrared, mirror)
    surfaces = surfaces_of(scene, assembly, traced)
    picture = radiance = kelvin = None
    if visible:
        picture = visible_picture(scene, visible_radiance(scene, light, assembly, traced, surfaces))
    if infrared:
        warmth = temperature(scene, light, traced, surfaces)
        radiance = band_images(scene, light, traced, surfaces, warmth)
        kelvin = coarser(warmth, 4).astype(np.float32)
    instances, shown = _number(surfaces.instance[::2, ::2], assembly.instances)
    attributes = attributes_of_scene(scene, shown)
    spec = {**scene.as_dict(), "attributes": attributes, "instances": shown}
    return Rendered(
        picture, radiance, kelvin, instances, surfaces.kind[::2, ::2].astype(np.uint8), caption_of(attributes), spec
    )


def _number(instance: np.ndarray, things: tuple[dict, ...]) -> tuple[np.ndarray, list[dict]]:
    """Keep the objects that show at least LEAST_PIXELS pixels, numbered 1, 2, … from the largest."""
    pixels = np.bincount(instance.ravel(), minlength=len(things) + 1)
    large = [k for k in range(1, len(things) + 1) if pixels[k] >= LEAST_PIXELS and things[k - 1]["kind"] in CLASSES]
    large = sorted(large, key=lambda k: (-pixels[k], k))[:255]
    table = np.zeros(len(things) + 1, dtype=np.uint8)
    table[large] = np.arange(1, len(large) + 1)
    shown = [
        {"kind": things[k - 1]["kind"], "pixels": int(pixels[k]), "state": things[k - 1].get("state")} for k in large
    ]
    return table[instance], shown
