"""What a reader must be able to see in the rendered scenes."""

from dataclasses import replace

import numpy as np
import pytest

from v2ir_lib.errors import UserError
from v2ir_lib.world import BANDS, CLASS_INDEX, SETTINGS
from v2ir_lib.world.captions import attributes_of, caption_of
from v2ir_lib.world.physics import brightness_temperature
from v2ir_lib.world.render import LEAST_PIXELS, render_scene
from v2ir_lib.world.scene import Camera, sample_scene, sequence

LWIR = BANDS.index("lwir")


def stage(
    objects,
    setting="street",
    time="day",
    weather="clear",
    season="summer",
    origin=(0.0, 0.0, 6.0),
    target=(0.0, 12.0, 0.0),
    **changes,
):
    """A scene of our own making: chosen objects on a chosen place, everything else as drawn."""
    scene = sample_scene(5, 1, setting=setting, viewpoint="surveillance", time=time, weather=weather, season=season)
    camera = Camera(origin, target, 55.0)
    fixed = dict(
        objects=tuple(objects), camera=camera, snow=False, air={"day": 28.0, "dusk": 22.0, "night": 15.0}[time]
    )
    return replace(scene, **{**fixed, **changes})


def thing(kind, x=0.0, y=12.0, yaw=0.0, **state):
    return {"kind": kind, "x": x, "y": y, "yaw": yaw, "seed": 3, **state}


def car(state, **where):
    return thing("car", state=state, colour=[150, 150, 150], body=0, **where)


PERSON = dict(top=[40, 80, 150], trousers=[30, 30, 32], height=1.75, moving=False)


def apparent(rendered, band="lwir"):
    """Apparent temperature in °C, (96, 96)."""
    return brightness_temperature(band, rendered.radiance[BANDS.index(band)]) - 273.15


def small(mask):
    """A 192-pixel mask at 96 pixels: only where all four pixels agree."""
    return mask.reshape(96, 2, 96, 2).all((1, 3))


def grey(rendered):
    return rendered.visible.astype(float).mean(-1).reshape(96, 2, 96, 2).mean((1, 3))


def test_same_seed_same_bytes_other_seed_others():
    one, two, other = (render_scene(sample_scene(3, index)) for index in (4, 4, 5))
    for name in ("visible", "radiance", "kelvin", "instances", "classes"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert one.caption == two.caption
    assert one.visible.tobytes() != other.visible.tobytes()


def test_shapes_types_and_alignment():
    rendered = render_scene(sample_scene(3, 0))
    assert rendered.visible.shape == (192, 192, 3) and rendered.visible.dtype == np.uint8
    assert rendered.radiance.shape == (4, 96, 96) and rendered.radiance.dtype == np.float32
    assert np.isfinite(rendered.radiance).all() and (rendered.radiance > 0).all()
    assert rendered.instances.shape == rendered.classes.shape == (192, 192)
    counts = np.bincount(rendered.instances.ravel())[1:]
    assert (counts >= LEAST_PIXELS).all() and len(counts) == len(rendered.spec["instances"])


def test_a_shadow_is_cooler_than_the_sunlit_road():
    with_box, without = (
        render_scene(stage(some, setting="parking", sun=(0.7, -1.5))) for some in ([thing("container", 2.2, 12.0)], [])
    )
    road = small((with_box.classes == CLASS_INDEX["road"]) & (without.classes == CLASS_INDEX["road"]))
    darker = road & (grey(with_box) < 0.8 * grey(without))
    assert darker.sum() > 50, "no shadow to be seen"
    assert (apparent(without) - apparent(with_box))[darker].mean() > 6
    unchanged = road & (np.abs(grey(with_box) - grey(without)) < 6)
    assert np.median(np.abs(apparent(without) - apparent(with_box))[unchanged]) < 1.5


def test_a_departed_car_leaves_a_ghost_that_only_thermal_bands_see():
    with_ghost, without = (render_scene(stage(objects, setting="parking")) for objects in ([thing("ghost")], []))
    change = apparent(with_ghost) - apparent(without)
    assert change.min() < -4  # the shaded place
    assert np.array_equal(with_ghost.visible, without.visible)
    assert np.allclose(with_ghost.radiance[:2], without.radiance[:2])


def test_foliage_is_bright_in_nir_and_not_in_visible():
    rendered = render_scene(
        stage(
            [thing("tree", 0, 12, shape="broadleaf", height=6.0)],
            origin=(0, 0, 3.0),
            target=(0, 12, 3.0),
            sun=(0.8, 3.1),
        )
    )
    tree, road = small(rendered.classes == CLASS_INDEX["tree"]), small(rendered.classes == CLASS_INDEX["road"])
    lit = rendered.radiance[0]
    assert np.quantile(lit[tree], 0.8) > 2 * np.median(lit[road])
    assert np.quantile(grey(rendered)[tree], 0.8) < 1.6 * np.median(grey(rendered)[road])


def test_bare_metal_and_glass_mirror_the_cold_sky():
    scene = stage(
        [thing("truck", 0, 12, state="cold", colour=[200, 200, 200])], origin=(0.0, 10.0, 14.0), target=(0.0, 12.0, 0.0)
    )
    scene = replace(scene, objects=({**scene.objects[0], "seed": 3},))  # seed 3: its box is bare aluminium
    rendered = render_scene(scene)
    truck = small(rendered.classes == CLASS_INDEX["truck"])
    road = small(rendered.classes == CLASS_INDEX["road"])
    assert np.quantile(apparent(rendered)[truck], 0.2) < apparent(rendered)[road].mean() - 15


def test_a_running_engine_is_hot_and_a_parked_one_is_not():
    view = dict(origin=(0.0, 20.0, 3.0), target=(0.0, 12.0, 0.5), time="night")
    driven, parked, cold = (render_scene(stage([car(state)], **view)) for state in ("driven", "just parked", "cold"))
    hottest = [np.quantile(apparent(r)[small(r.classes == CLASS_INDEX["car"])], 0.97) for r in (driven, parked, cold)]
    assert hottest[0] > hottest[1] + 10 and hottest[1] > hottest[2] + 10
    assert np.array_equal(parked.visible, cold.visible), "a warm engine must not show in visible light"


def test_tyres_of_a_driven_car_are_warm():
    view = dict(origin=(7.0, 12.0, 1.0), target=(0.0, 12.0, 0.6), time="night")
    driven, cold = (render_scene(stage([car(state)], **view)) for state in ("driven", "cold"))
    change = (driven.kelvin - cold.kelvin)[small(cold.classes == CLASS_INDEX["car"])]
    assert (np.abs(change - 10) < 2).sum() > 8, "no tyre is 10 K warmer"


def test_people_are_bright_at_night():
    rendered = render_scene(
        stage([thing("person", 0, 9, **PERSON)], "campus", "night", origin=(0, 0, 2.0), target=(0, 9, 0.9))
    )
    person = small(rendered.classes == CLASS_INDEX["person"])
    ground = small(np.isin(rendered.classes, [CLASS_INDEX["road"], CLASS_INDEX["pavement"]]))
    assert apparent(rendered)[person].mean() > apparent(rendered)[ground].mean() + 3


def test_a_lamp_blooms_in_visible_light_and_not_in_lwir():
    on = stage([thing("lamp", 0, 10)], time="night", origin=(0, 0, 3.0), target=(0.6, 10, 4.5), halogen=True)
    bare = replace(on, objects=())
    lit, dark = render_scene(on), render_scene(bare)
    glow = grey(lit)
    head = np.unravel_index(glow.argmax(), glow.shape)
    rows, columns = np.mgrid[:96, :96]
    distance = np.hypot(rows - head[0], columns - head[1])
    near = (
        (distance > 5)
        & (distance < 12)
        & small((lit.classes == CLASS_INDEX["sky"]) & (dark.classes == CLASS_INDEX["sky"]))
    )
    assert grey(lit)[near].mean() > grey(dark)[near].mean() + 6
    assert np.median(np.abs(lit.radiance[LWIR] - dark.radiance[LWIR])[near]) < 1e-3 * np.ptp(lit.radiance[LWIR])


def test_night_pictures_are_darker_and_noisier():
    day, night = (render_scene(stage([], setting="park", time=time)) for time in ("day", "night"))
    assert grey(night).mean() < 0.6 * grey(day).mean()
    sky = [small(r.classes == CLASS_INDEX["grass"])[30:] for r in (day, night)]
    noise = [np.abs(np.diff(r.visible[60:].astype(float), axis=1)).mean() / r.visible[60:].mean() for r in (day, night)]
    assert noise[1] > 2 * noise[0] and all(mask.any() for mask in sky)


def test_night_order_of_surfaces():
    rendered = render_scene(
        stage([thing("bin", 1.0, 9.0)], setting="campus", time="night", origin=(0, 0, 5.0), target=(0, 10, 0))
    )
    heat = apparent(rendered)
    pavement, grass = (heat[small(rendered.classes == CLASS_INDEX[name])].mean() for name in ("pavement", "grass"))
    assert pavement > grass + 2


def test_every_setting_renders_and_says_what_it_shows():
    for number, setting in enumerate(SETTINGS):
        rendered = render_scene(sample_scene(9, number, setting=setting), infrared=False)
        assert rendered.radiance is None
        assert rendered.spec["attributes"]["setting"] == setting
        assert attributes_of(rendered.caption) == rendered.spec["attributes"]


def test_captions_read_back_exactly():
    words_of = [sample_scene(21, index) for index in range(12)]
    for index in range(120):
        scene = words_of[index % 12]
        counts = {"person": index % 5, "car": index % 4, "tree": index % 2, "bus": index % 3 == 0}
        words = {name: getattr(scene, name) for name in ("time", "weather", "season", "setting", "viewpoint")}
        attributes = {**words, "objects": {k: int(v) for k, v in counts.items() if v}, "traffic": bool(index % 2)}
        assert attributes_of(caption_of(attributes)) == attributes


def test_a_wrong_caption_reads_differently():
    assert attributes_of("a street at night, with two people") != attributes_of("a street by day, with two people")
    assert attributes_of("with three cars")["objects"] == {"car": 3}
    assert attributes_of("seen from a car")["objects"] == {}


def test_sequences_move_only_what_moves():
    scene = stage([car("driven", moving=True), thing("bench", 4, 12)])
    first, later = sequence(scene, 3)[0], sequence(scene, 3)[2]
    assert first == scene
    assert later.objects[0]["y"] == pytest.approx(12 + 9.0 * 0.4) and later.objects[1] == scene.objects[1]
    moving = sequence(replace(scene, viewpoint="driving"), 2)[1]
    assert moving.camera.origin[1] == pytest.approx(scene.camera.origin[1] + 1.2)


def test_an_unknown_word_is_refused():
    with pytest.raises(UserError, match="noon"):
        sample_scene(1, 1, time="noon")
