"""What holds for the whole repository: who imports whom, what is pinned, what the README promises, what is tracked."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from v2ir_lib.cli import app
from v2ir_lib.files import repo_root

ROOT = repo_root()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = [line for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git clone")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).exists()]


# --- who imports whom --------------------------------------------------------------------------------------------


def lint_imports(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


def test_imports_go_one_way():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("room, above", [("errors", "profiles"), ("profiles", "tutorial.runner"), ("doctor", "cli")])
def test_an_import_the_wrong_way_is_caught(room, above, tmp_path):
    shutil.copytree(ROOT / "v2ir_lib", tmp_path / "v2ir_lib", ignore=shutil.ignore_patterns("__pycache__"))
    with open(tmp_path / "v2ir_lib" / f"{room}.py", "a") as file:
        file.write(f"\n\ndef later():\n    import v2ir_lib.{above}\n")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert f"v2ir_lib.{room} is not allowed to import v2ir_lib.{above.split('.')[0]}" in done.stdout


def test_a_room_that_the_design_does_not_have_is_caught(tmp_path):
    shutil.copytree(ROOT / "v2ir_lib", tmp_path / "v2ir_lib", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "v2ir_lib" / "utils.py").write_text("")
    done = lint_imports(tmp_path)
    assert done.returncode != 0 and "utils" in done.stdout + done.stderr


# --- what is pinned ----------------------------------------------------------------------------------------------


def test_the_lock_has_names_and_exact_versions_only():
    for line in LOCK:
        assert re.fullmatch(r'[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*(; platform_system == "Linux")?', line), line
    names = [canonicalize_name(line.split("==")[0]) for line in LOCK]
    assert len(set(names)) == len(names)
    assert {"torch==2.11.0", "torchvision==0.26.0"} <= set(LOCK)


def test_the_lock_satisfies_the_ranges():
    pinned = {canonicalize_name(name): pin for name, pin in (line.split(";")[0].split("==") for line in LOCK)}
    extras = PYPROJECT["project"]["optional-dependencies"]
    for text in [*PYPROJECT["project"]["dependencies"], *extras["notebooks"], *extras["dev"]]:
        wanted = Requirement(text)
        assert wanted.url is None
        assert canonicalize_name(wanted.name) in pinned, f"{wanted.name} is not in requirements.lock"
        assert pinned[canonicalize_name(wanted.name)] in wanted.specifier, text


def test_what_the_library_imports_is_declared():
    names = {
        "cv2": "opencv-python-headless",
        "faiss": "faiss-cpu",
        "PIL": "pillow",
        "skimage": "scikit-image",
        "yaml": "pyyaml",
    }
    extras = PYPROJECT["project"]["optional-dependencies"]
    everything = [*PYPROJECT["project"]["dependencies"], *(one for extra in extras.values() for one in extra)]
    declared = {canonicalize_name(Requirement(text).name) for text in everything}
    parts = {"ipython", "jupyter-client", "packaging"}  # of ipykernel, nbclient and pytest
    own = {"v2ir_lib", *(path.stem for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))}
    for path in [*(ROOT / "v2ir_lib").rglob("*.py"), *tracked("notebooks/*.ipynb", "benchmarks/*.py", "tests/*.py")]:
        imports = re.findall(
            r"^\s*(?:from ([A-Za-z_]\w*)[\w.]* import\b|import ([A-Za-z_]\w*))", code_of(path), re.MULTILINE
        )
        for module in {first or second for first, second in imports}:
            if module in sys.stdlib_module_names or module in own:
                continue
            name = canonicalize_name(names.get(module, module))
            assert name in declared | parts, f"{path.relative_to(ROOT)} imports {module}, which pyproject.toml lacks"


def code_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")


# --- what the README and the Makefile promise --------------------------------------------------------------------


def commands_in(text: str, program: str) -> list[str]:
    """Everything behind `program` in a Markdown text's code: fenced lines and `inline code`."""
    fenced = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    lines = [line for block in fenced for line in block.replace("\\\n", " ").splitlines()] + inline
    starts = rf"(?:\$ |[\w./]*/|\w+=\S+ )*{program} +(.+)"
    return [found[1].split(" #")[0].strip() for line in lines if (found := re.fullmatch(starts, line.strip()))]


def parse(text: str) -> None:
    """Fail unless the command line takes `v2ir {text}`. A synopsis is as good: [--steps N] is --steps 1."""
    words = shlex.split(re.sub(r"\b[A-Z]\b", "1", text.replace("[", "").replace("]", "")))
    words = words[: next((i for i, word in enumerate(words) if word in {"|", "&&", ">"}), len(words))]
    command, path = typer.main.get_command(app), []
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"v2ir {text}: there is no {words[0]!r}"
        command = command.commands[words[0]]
        path.append(words.pop(0))
    if words and not hasattr(command, "commands") and "--help" not in words:
        command.make_context(" ".join(path), words)  # raises on an unknown option or a missing argument


def test_the_makefile_has_what_it_and_the_readme_name():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert {"tutorial", "test", "lab", "notebooks", "lint", "recipes", "bench", "clean", "help"} <= targets
    assert set(re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split()) == targets
    commands = commands_in((ROOT / "README.md").read_text(encoding="utf-8"), "make")
    named = {word for command in commands for word in command.split() if re.fullmatch(r"[a-z]+", word)}
    assert {"tutorial", "test"} <= named
    assert named <= targets


def test_the_readmes_commands_parse():
    for text in commands_in((ROOT / "README.md").read_text(encoding="utf-8"), "v2ir"):
        parse(text)


def test_commands_are_found_and_wrong_ones_caught():
    text = (
        "Run `v2ir doctor`, then\n```bash\n$ .venv/bin/v2ir translate in out \\\n  --steps 5  # quick\nmake test\n```\n"
    )
    assert commands_in(text, "v2ir") == ["translate in out    --steps 5", "doctor"]
    assert commands_in(text, "make") == ["test"]
    for right in (
        "doctor",
        "--version",
        "translate INPUT OUTPUT [--steps N] [--json]",
        "world render --count N --out X",
    ):
        parse(right)
    for wrong in ("doctr", "translate INPUT", "translate a b --step 3", "world render --count many --out x"):
        with pytest.raises((AssertionError, typer.TyperException)):
            parse(wrong)


FAKE_PYTHON = """#!/bin/bash
if [ "$2" = venv ]; then
  echo "venv" >> calls; rm -rf .venv; mkdir -p .venv/bin
  printf '#!/bin/bash\\necho ok\\n' > .venv/bin/python
  printf '#!/bin/bash\\necho "pip $*" >> calls; [ ! -e broken ]\\n' > .venv/bin/pip
  chmod +x .venv/bin/*
fi
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_the_environment_is_made_when_missing_or_stale_and_made_again_when_half_made(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / "fake-python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    calls = tmp_path / "calls"

    def make(*words) -> tuple[int, list[str]]:
        calls.write_text("")
        done = subprocess.run(
            ["make", "install", f"PYTHON={python}", *words], cwd=tmp_path, capture_output=True, text=True
        )
        return done.returncode, [line.split(" -r")[0].split()[0] for line in calls.read_text().splitlines()]

    assert make() == (0, ["venv", "pip", "pip"])
    assert make() == (0, [])  # all is well: nothing to do
    later = (tmp_path / ".venv" / "installed").stat().st_mtime + 5
    os.utime(tmp_path / "requirements.lock", (later, later))
    assert make()[1][:1] == ["pip"]  # brought up to date, not made anew
    os.utime(tmp_path / ".venv" / "installed", (later + 5, later + 5))

    (tmp_path / ".venv" / "installed").unlink()  # stopped half-way
    (tmp_path / ".venv" / "leftover").write_text("")
    assert make() == (0, ["venv", "pip", "pip"])
    assert not (tmp_path / ".venv" / "leftover").exists()

    (tmp_path / ".venv" / "bin" / "python").unlink()  # its interpreter is gone
    assert make() == (0, ["venv", "pip", "pip"])

    (tmp_path / "broken").write_text("")  # the installation fails: no stamp, so the next try starts afresh
    (tmp_path / ".venv" / "installed").unlink()
    assert make()[0] != 0
    assert not (tmp_path / ".venv" / "installed").exists()
    (tmp_path / "broken").unlink()
    assert make() == (0, ["venv", "pip", "pip"])


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_a_missing_python_is_one_clear_line(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    done = subprocess.run(["make", "install", "PYTHON=no-such-python"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "no-such-python is missing or older than Python 3.11" in done.stderr
    assert not (tmp_path / ".venv").exists()


# --- what is tracked ---------------------------------------------------------------------------------------------


def test_the_clone_stays_small():
    sizes = {path: path.stat().st_size for path in tracked()}
    assert sum(sizes.values()) < 45 * 2**20
    assert not [path for path, size in sizes.items() if size > 15 * 2**20]


def test_models_are_safetensors_and_small():
    models = tracked("models")
    assert not [path for path in models if path.suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl"}]
    assert sum(path.stat().st_size for path in models if path.suffix == ".safetensors") <= 34 * 10**6


def test_notebooks_are_stripped_and_have_parameters():
    for path in tracked("*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = notebook["cells"]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path.name
        assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) == 1, path.name
        assert "language_info" not in notebook["metadata"] and "papermill" not in notebook["metadata"], path.name
        assert all(cell.get("id") for cell in cells), path.name


def test_nothing_names_the_place_where_it_was_made():
    settings = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    places = set(re.findall(r"https?://([^/'\" ]+)|file://(/[^'\" ]+)", settings))
    forbidden = {part for place in places for part in place if part} | {f"{ROOT}/", "/" + "work/"}
    forbidden -= {"pypi.org"}
    for path in tracked():
        content = path.read_bytes()
        if b"\0" in content[:8192]:
            continue
        text = content.decode("utf-8", errors="replace")
        named = [place for place in forbidden if place in text]
        assert not named, f"{path.relative_to(ROOT)} names {named}"


def test_no_file_is_two_files():
    folders = ("v2ir_lib", "tests", "benchmarks", "scripts")
    lines = {path: path.read_bytes().count(b"\n") for path in tracked(*(f"{folder}/*.py" for folder in folders))}
    assert len({path.relative_to(ROOT).parts[0] for path in lines}) == len(folders)
    assert not {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > 300}
