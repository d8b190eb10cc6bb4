"""Break the library on purpose, in a copy, and keep what a notebook then records: no tolerance may take it.

    python tests/tutorial/break_once.py 00 --file v2ir_lib/diffusion/guidance.py \\
        --replace "old text" --by "new text" --what "Eq. 2 with its scales swapped"

The figures that drift go into the notebook's file in tests/expected/, under "broken", with what was replaced by what.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from v2ir_lib.errors import UserError
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.tutorial.drift import compare
from v2ir_lib.tutorial.expected import expected_path, figures_for, read_expected
from v2ir_lib.tutorial.runner import find_notebooks

COPIED = ("v2ir_lib", "notebooks")  # all else is linked to


def broken_copy(folder: Path, file: str, old: str, new: str) -> None:
    """A copy of the repository in which `old`, which must be in `file` exactly once, is `new`."""
    if Path(file).parts[0] not in COPIED or ".." in Path(file).parts:  # behind a link it would be the original
        raise UserError(f"{file} is not in {' or '.join(COPIED)}: only these are copied and can be broken")
    for path in repo_root().iterdir():
        if path.name in COPIED:
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    text = (folder / file).read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise UserError(f"{file} has {old!r} {text.count(old)} times: give a text that it has once")
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")


def run_in(folder: Path, notebook: str, budget: str) -> dict:
    """What the notebook records with the library of this copy, and a cache of its own."""
    command = [sys.executable, "-m", "v2ir_lib.cli", "notebooks", notebook, "--budget", budget]
    environment = os.environ | {"PYTHONPATH": str(folder), "V2IR_CACHE": str(folder / "cache")}
    subprocess.run([*command, "--timeout", "3600", "--out", str(folder / "ran")], cwd=folder, env=environment)
    (entry,) = json.loads((folder / "ran" / "figures.json").read_text(encoding="utf-8"))["notebooks"].values()
    return entry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook")
    for name in ("--file", "--replace", "--by", "--what"):
        parser.add_argument(name, required=True)
    parser.add_argument("--budget", default="check")
    asked = parser.parse_args()
    (notebook,) = find_notebooks([asked.notebook])
    target = expected_path(notebook)
    read_expected(target)  # says so, before anything runs, where there is none
    with tempfile.TemporaryDirectory(prefix="v2ir-broken-") as folder:
        broken_copy(Path(folder), asked.file, asked.replace, asked.by)
        entry = run_in(Path(folder), asked.notebook, asked.budget)
    expected = read_expected(target)
    known = {name: one for name, one in figures_for(expected, asked.budget).items() if name in entry["figures"]}
    drifted = dict.fromkeys(drift.figure for drift in compare(known, entry["figures"]) if drift.figure in known)
    if not drifted:
        raise UserError("nothing drifted: this break is not seen by what the notebook records")
    told = {key: vars(asked)[key] for key in ("what", "file", "replace", "by", "budget")}
    told["noticed"] = entry["error"] or "by its figures alone"  # a notebook's own assertion may have stopped it
    told["figures"] = {name: entry["figures"][name] for name in drifted}
    expected["broken"] = [one for one in expected["broken"] if one["what"] != asked.what] + [told]
    write_json(target, expected)
    print(f"{target.name}: broken values of {', '.join(drifted)}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
