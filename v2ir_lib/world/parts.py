"""A part: triangles of one material and one temperature rule. All that stands in a scene is a list of parts."""

from dataclasses import dataclass

from v2ir_lib.world.meshes import Mesh


@dataclass(frozen=True)
class Part:
    """`celsius` fixes the temperature; otherwise the material's rule gives it, plus `extra` kelvin.

    `colour` (sRGB, 0-255) replaces the material's. `glow` is radiance that it sends out by itself in visible light
    (linear RGB, 1 = a white wall in full sun) and `glow_nir` the same in NIR. `jitter` varies the brightness from face
    to face.
    """

    mesh: Mesh
    material: str
    kind: str  # one of v2ir_lib.world.CLASSES
    colour: tuple[int, int, int] | None = None
    extra: float = 0.0
    celsius: float | None = None
    glow: tuple[float, float, float] = (0.0, 0.0, 0.0)
    glow_nir: float = 0.0
    jitter: float = 0.0


@dataclass(frozen=True)
class Light:
    """A point of light at `at` (metres); `towards` makes it a spot, as a headlight is. `power` 1 = a street lamp."""

    at: tuple[float, float, float]
    power: float
    towards: tuple[float, float, float] | None = None
