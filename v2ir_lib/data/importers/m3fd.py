"""M³FD: M3FD_Detection/{Ir,Vis,Annotation}/NNNNN.png, 4,200 pairs, and M3FD_Fusion/{Ir,Vis}, 300; also as {ir,vi}.

274 pairs have one of eight other sizes than 1024×768; sizes are read from the files. Warping left black wedges: the
audit finds them. No sequences are stated: every pair is a group of its own until a split clusters them.
"""

from pathlib import Path

from v2ir_lib.data.layout import Findings, Importer, Options, Row, any_named, child, number, pictures, stem

PARTS = {"detection": "M3FD_Detection", "fusion": "M3FD_Fusion"}


def looks_like(root: Path) -> bool:
    """One of its two folders by name, or {ir, vi or vis} with names of five digits."""
    return any(_is_part(folder) for folder in _parts(root).values())


def find(root: Path, options: Options) -> Findings:
    """Both parts, where both are there."""
    found = Findings()
    for part, folder in _parts(root).items():
        visible = pictures(child(folder, "Vis", "vi"), "visible", found)
        infrared = pictures(child(folder, "Ir"), "infrared", found)

        def make(key: str, visible: str, infrared: str, part: str = part) -> Row:
            name = stem(infrared)
            id = f"m3fd/{part}/{name}"
            return Row(id, id, visible, infrared, "m3fd", frame=number(name))

        found.match(visible, infrared, make)
    return found


def _parts(root: Path) -> dict[str, Path]:
    """detection, fusion → its folder; the root itself may be one."""
    named = {part: folder for part, name in PARTS.items() if (folder := child(root, name))}
    if named:
        return named
    return {"fusion" if "fusion" in root.name.lower() else "detection": root}


def _is_part(folder: Path) -> bool:
    infrared = child(folder, "Ir")
    return bool(child(folder, "Vis", "vi") and infrared and any_named(infrared, r"\d{5}\.\w+"))


IMPORTER = Importer(
    "m3fd", "M³FD", "M3FD_Detection/{Ir,Vis} and M3FD_Fusion/{Ir,Vis}, or {ir,vi}", "none stated", find, looks_like
)
