"""A scene as a description: what stands where, in which light and weather, seen from where. Plain data, no pictures."""

from dataclasses import asdict, dataclass, replace

import numpy as np

from v2ir_lib.errors import UserError
from v2ir_lib.world import SEASONS, SETTINGS, TIMES, VIEWPOINTS, WEATHERS
from v2ir_lib.world.layout import Plan, plan_for

PAINTS = (  # sRGB, the colours that cars are sold in, and a few that people wear
    (225, 226, 228), (30, 31, 34), (120, 124, 128), (176, 180, 184),
    (140, 22, 26), (24, 52, 110), (34, 84, 62), (196, 160, 60),
)  # fmt: skip
CLOTHES = (
    (40, 42, 50), (170, 40, 40), (40, 80, 150), (220, 215, 205),
    (200, 150, 40), (60, 110, 70), (110, 70, 120), (30, 30, 32),
)  # fmt: skip
# m/s, of what moves in a sequence
SPEED = {"car": 9.0, "bus": 7.0, "truck": 7.0, "bicycle": 4.0, "person": 1.3, "animal": 0.8}


@dataclass(frozen=True)
class Camera:
    """A pinhole: `origin` and `target` in metres, `fov` across the picture in degrees."""

    origin: tuple[float, float, float]
    target: tuple[float, float, float]
    fov: float


@dataclass(frozen=True)
class Scene:
    """Everything that determines the pictures of one scene. `objects` are dicts of plain values: kind, x, y, yaw, …"""

    seed: int
    index: int
    frame: int
    setting: str
    viewpoint: str
    time: str
    weather: str
    season: str
    air: float  # °C
    sun: tuple[float, float]  # elevation and azimuth, radians; below the horizon at night
    snow: bool
    halogen: bool  # street lamps: halogen (bright in NIR and SWIR, 60 °C) or LED (dark beyond NIR, 33 °C)
    camera: Camera
    objects: tuple[dict, ...]

    def as_dict(self) -> dict:
        """JSON-ready, everything included."""
        return asdict(self)


class Crowd:
    """Places things without overlap, and only where the camera sees them."""

    def __init__(self, rng: np.random.Generator, camera: Camera):
        self.rng, self.camera, self.taken, self.objects = rng, camera, [], []

    def sees(self, x: float, y: float, z: float = 0.8) -> bool:
        """Whether a point falls inside the picture, with a small margin, and not in the lens."""
        origin, target = np.array(self.camera.origin), np.array(self.camera.target)
        forward = (target - origin) / np.linalg.norm(target - origin)
        right = np.cross(forward, [0, 0, 1.0])
        right = right / max(np.linalg.norm(right), 1e-9)
        up = np.cross(right, forward)
        offset = np.array([x, y, z]) - origin
        depth = offset @ forward
        reach = np.tan(np.radians(self.camera.fov) / 2) * depth * 0.93
        return bool(depth > 3.0 and abs(offset @ right) < reach and abs(offset @ up) < reach)

    def free(self, x: float, y: float, radius: float) -> bool:
        """Whether a circle of `radius` metres about (x, y) touches nothing that stands already."""
        return all((x - a) ** 2 + (y - b) ** 2 > (radius + r) ** 2 for a, b, r in self.taken)

    def add(self, kind: str, spots, radius: float, *, anywhere: bool = False, tries: int = 30, **state) -> bool:
        """Put one `kind` at one of the places that `spots(rng)` proposes as (x, y, yaw); False when none was free."""
        for _ in range(tries):
            x, y, yaw = spots(self.rng)
            if (anywhere or self.sees(x, y)) and self.free(x, y, radius):
                self.taken.append((x, y, radius))
                seed = int(self.rng.integers(2**31))
                values = {key: value() if callable(value) else value for key, value in state.items()}
                place = {"x": round(float(x), 3), "y": round(float(y), 3), "yaw": round(float(yaw), 4)}
                self.objects.append({"kind": kind, **place, "seed": seed, **values})
                return True
        return False


def sample_scene(seed: int, index: int, **fixed: str) -> Scene:
    """Draw scene `index` of the world `seed`; the same pair always gives the same scene.

    `fixed` pins attributes: setting, viewpoint, time, weather, season (one of the words in `v2ir_lib.world`), while
    the other ones stay as drawn; what stands where may change with them. An unknown word raises `UserError`.
    """
    rng = np.random.default_rng([seed, index])
    drawn = draw_attributes(rng)
    allowed = dict(setting=SETTINGS, viewpoint=VIEWPOINTS, time=TIMES, weather=WEATHERS, season=SEASONS)
    for key, word in fixed.items():
        if word not in allowed.get(key, ()):
            raise UserError(f"no {key} {word!r} in this world: choose one of {', '.join(allowed.get(key, allowed))}")
    drawn.update(fixed)
    time, season = drawn["time"], drawn["season"]
    plan = plan_for(drawn["setting"], rng)
    camera = _camera(drawn["viewpoint"], plan, rng)
    crowd = Crowd(rng, camera)
    _furnish(crowd, plan, drawn)
    _populate(crowd, plan, drawn)
    air = {"summer": {"day": 29, "dusk": 23, "night": 18}, "winter": {"day": 3, "dusk": 0, "night": -3}}[season][time]
    elevation = {"day": rng.uniform(0.5, 1.05) * (1.0 if season == "summer" else 0.5), "dusk": rng.uniform(0.03, 0.1)}
    azimuth = rng.uniform(0, 2 * np.pi)
    return Scene(
        seed=seed,
        index=index,
        frame=0,
        **drawn,
        air=round(float(air + rng.uniform(-4, 4)), 2),
        sun=(round(float(elevation.get(time, -0.3)), 4), round(float(azimuth), 4)),
        snow=bool(season == "winter" and drawn["weather"] != "rain" and rng.random() < 0.5),
        halogen=bool(rng.random() < 0.5),
        camera=camera,
        objects=tuple(crowd.objects),
    )


def draw_attributes(rng: np.random.Generator) -> dict[str, str]:
    """The five words of a scene; always the first five draws from its generator."""
    return {
        "setting": str(rng.choice(SETTINGS)),
        "viewpoint": str(rng.choice(VIEWPOINTS, p=[0.32, 0.26, 0.16, 0.26])),
        "time": str(rng.choice(TIMES, p=[0.5, 0.15, 0.35])),
        "weather": str(rng.choice(WEATHERS, p=[0.46, 0.22, 0.14, 0.18])),
        "season": str(rng.choice(SEASONS)),
    }


def sequence(scene: Scene, frames: int, seconds: float = 0.2) -> list[Scene]:
    """The same scene `seconds` apart: movers move along their heading; a driving or aerial camera moves on too."""
    result = []
    for frame in range(frames):
        passed = frame * seconds
        objects = []
        for thing in scene.objects:
            speed = SPEED.get(thing["kind"], 0.0) * (1.0 if thing.get("moving") else 0.0)
            step = speed * passed
            x, y = thing["x"] - np.sin(thing["yaw"]) * step, thing["y"] + np.cos(thing["yaw"]) * step
            objects.append({**thing, "x": round(float(x), 3), "y": round(float(y), 3)})
        forward = {"driving": 6.0, "aerial": 3.0}.get(scene.viewpoint, 0.0) * passed
        (x, y, z), (u, v, w) = scene.camera.origin, scene.camera.target
        camera = replace(scene.camera, origin=(x, y + forward, z), target=(u, v + forward, w))
        result.append(replace(scene, frame=frame, camera=camera, objects=tuple(objects)))
    return result


def _camera(viewpoint: str, plan: Plan, rng: np.random.Generator) -> Camera:
    if viewpoint == "driving":
        x = plan.lane + rng.uniform(-0.3, 0.3)
        return Camera((x, 0.0, rng.uniform(1.3, 1.7)), (x * 0.6, 20.0, rng.uniform(0.9, 1.6)), rng.uniform(52, 62))
    if viewpoint == "surveillance":
        side = plan.walk_side * rng.uniform(0.7, 1.0)
        height = rng.uniform(4.5, 8.0)
        return Camera((side, 0.0, height), (-side * 0.3, rng.uniform(15, 19), 0.0), rng.uniform(48, 58))
    if viewpoint == "aerial":
        height, x = rng.uniform(24, 38), plan.lane * rng.uniform(-1, 1)
        return Camera((x, rng.uniform(6, 16), height), (x + rng.uniform(-3, 3), 26.0, 0.0), rng.uniform(46, 56))
    x = rng.uniform(-1, 1) * abs(plan.walk_side)
    origin = (x, 0.0, rng.uniform(1.5, 1.75))
    return Camera(origin, (rng.uniform(-2.5, 2.5), 14.0, rng.uniform(0.7, 1.3)), rng.uniform(48, 60))


def _furnish(crowd: Crowd, plan: Plan, drawn: dict) -> None:
    rng = crowd.rng
    for spot in plan.buildings:
        crowd.objects.append({"kind": "building", **spot, "seed": int(rng.integers(2**31))})
        crowd.taken.append((spot["x"], spot["y"], min(spot["wide"], spot["deep"]) / 2))
    for x, y, yaw in plan.lamps:
        crowd.objects.append({"kind": "lamp", "x": x, "y": y, "yaw": yaw, "seed": int(rng.integers(2**31))})
        crowd.taken.append((x, y, 0.5))
    conifers = rng.random() < 0.3
    for _ in range(rng.integers(*plan.trees)):
        shape = "conifer" if rng.random() < (0.8 if conifers else 0.15) else "broadleaf"
        anywhere, height = rng.random() < 0.3, round(float(rng.uniform(4, 9)), 2)
        crowd.add("tree", plan.green, 1.6, anywhere=anywhere, shape=shape, height=height)
    for _ in range(rng.integers(0, 5)):
        crowd.add("bush", plan.green, 0.8, anywhere=True)
    for kind in plan.furniture:
        if rng.random() < 0.6:
            crowd.add(kind, plan.walk, 0.9)


def _populate(crowd: Crowd, plan: Plan, drawn: dict) -> None:
    """Vehicles, people, bicycles, animals, and the warm or cool places that departed cars leave."""
    rng = crowd.rng
    busy = 0.6 if drawn["time"] == "night" else 1.0

    # Drawn by `Crowd.add`, and only for what found a place.
    def paint() -> list[int]:
        return list(map(int, PAINTS[rng.integers(len(PAINTS))]))

    def cloth() -> list[int]:
        return list(map(int, CLOTHES[rng.integers(len(CLOTHES))]))

    def body() -> int:
        return int(rng.integers(4))

    def height() -> float:
        return round(float(rng.uniform(1.55, 1.9)), 2)

    heavy = rng.random()
    if plan.drive is not None:
        if heavy < 0.3:
            crowd.add("bus", plan.drive, 4.5, state="driven", moving=True, colour=paint)
        elif heavy < 0.55:
            crowd.add("truck", plan.drive, 4.0, state="driven", moving=True, colour=paint)
        for _ in range(rng.poisson(1.3 * busy)):
            crowd.add("car", plan.drive, 2.4, state="driven", moving=True, colour=paint, body=body)
    if plan.park is not None:
        for _ in range(rng.poisson(plan.parked)):
            state = "just parked" if rng.random() < 0.35 else "cold"
            crowd.add("car", plan.park, 2.3, state=state, colour=paint, body=body)
        if rng.random() < 0.12:
            crowd.add("truck", plan.park, 3.6, state="cold", colour=paint)
        if rng.random() < 0.45:
            crowd.add("ghost", plan.park, 2.3)
    for _ in range(rng.poisson(2.6 * busy)):
        moving = bool(rng.random() < 0.7)
        crowd.add("person", plan.walk, 0.6, moving=moving, top=cloth, trousers=cloth, height=height)
    for _ in range(rng.poisson(0.8 if plan.setting in ("campus", "residential", "park", "waterside") else 0.5)):
        ridden = bool(rng.random() < 0.5)
        crowd.add("bicycle", plan.walk, 1.0, moving=ridden, ridden=ridden, colour=paint, top=cloth, trousers=cloth)
    for _ in range(rng.poisson(1.1 if plan.setting == "park" else 0.25)):
        beast = str(rng.choice(("dog", "cow", "deer", "horse") if plan.setting == "park" else ("dog",)))
        crowd.add("animal", plan.green if beast != "dog" else plan.walk, 1.0, moving=True, beast=beast)
