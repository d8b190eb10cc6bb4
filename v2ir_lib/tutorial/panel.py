"""Pictures that move: a live panel, which needs ipywidgets and a running kernel, and a player, which needs neither."""

import io
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure
from PIL import Image as Picture

Choice = Sequence[str] | Callable[..., Sequence[str]]
"""The words to choose from, or a function that gives them for the choices before (the cameras of a band)."""


def live_panel(draw: Callable[..., Figure], *, begin: Mapping[str, str] | None = None, **choices: Choice):
    """An ipywidgets box: one menu for each of `choices`, in this order, and the figure `draw(**chosen)` below.

    `begin` names the words that some menus begin at, in place of their first one; `ValueError` for one that its menu
    has not. Returned, not displayed: leave it at the end of a cell. Where ipywidgets is missing, a line says so and
    None comes back, so that a notebook runs on. The figure is shown as a PNG and closed.
    """
    begin = dict(begin or {})
    if begin.keys() - choices.keys():
        raise ValueError(f"no menu is called {', '.join(sorted(begin.keys() - choices.keys()))}")
    try:
        from ipywidgets import Dropdown, HBox, Image, Layout, VBox
    except ModuleNotFoundError:
        print("no live panel here: ipywidgets is not installed. The still figure shows the same, all at once")
        return None
    menus = {name: Dropdown(description=name.replace("_", " "), options=("",)) for name in choices}
    picture, busy = Image(format="png"), False

    def refresh(_=None) -> None:
        nonlocal busy
        if busy:  # a menu that gets other options announces another choice, while it is being looked after
            return
        busy = True
        try:
            chosen: dict[str, str] = {}
            for name, words in choices.items():
                options = tuple(words(**chosen) if callable(words) else words)
                if menus[name].options != options:
                    menus[name].options = options
                if name in begin:
                    menus[name].value = _among(options, begin.pop(name), name)
                chosen[name] = menus[name].value
            picture.value = _png(draw(**chosen))
        finally:
            busy = False

    refresh()
    for menu in menus.values():
        menu.observe(refresh, names="value")
    return VBox([HBox(list(menus.values()), layout=Layout(flex_flow="row wrap")), picture])


def player(draw: Callable[[int], Figure], frames: int, per_second: float = 3, dpi: int = 80):
    """An animation of the figures `draw(0)` to `draw(frames - 1)`, all of one size, with buttons and a slider.

    IPython's HTML, returned, not displayed. Every frame lies in it as a JPEG of `dpi`, so it plays on a static page
    too. Figures are closed.
    """
    from IPython.display import HTML  # comes with the extra 'notebooks', as ipywidgets does

    shots = [Picture.open(io.BytesIO(_png(draw(number), dpi, tight=False))).convert("RGB") for number in range(frames)]
    figure = plt.figure(figsize=[side / dpi for side in shots[0].size])
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    shown = axis.imshow(shots[0], aspect="auto")
    film = FuncAnimation(figure, lambda number: shown.set_data(shots[number]), frames=frames)
    with plt.rc_context({"savefig.dpi": dpi, "animation.frame_format": "jpeg"}):
        page = film.to_jshtml(fps=per_second, default_mode="once")
    plt.close(figure)
    return HTML(page)


def _among(options: Sequence[str], word: str, name: str) -> str:
    if word not in options:
        raise ValueError(f"{name} cannot begin at {word!r}: its words are {', '.join(options)}")
    return word


def _png(figure: Figure, dpi: int = 110, tight: bool = True) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight" if tight else None)
    plt.close(figure)
    return buffer.getvalue()
