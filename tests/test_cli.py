"""The command line: bad input is one line and exit code 2; a bug keeps its traceback; `--help` is quick."""

import subprocess
import sys
import types

import pytest
import typer

from v2ir_lib import __version__
from v2ir_lib.cli import app, main
from v2ir_lib.errors import UserError


class Summary:
    exit_code = 1

    def as_dict(self):
        return {"written": 3, "failed": ["ß.png"]}


@pytest.fixture
def translate(monkeypatch):
    """A stand-in for the translation: keeps what it was called with, raises what it is told to."""
    module = types.ModuleType("v2ir_lib.diffusion.translate")
    module.error, module.called = None, None

    def translate_folder(*arguments, **keywords):
        module.called = (arguments, keywords)
        if module.error:
            raise module.error
        return Summary()

    module.translate_folder = translate_folder
    monkeypatch.setitem(sys.modules, "v2ir_lib.diffusion.translate", module)
    return module


def every_command(group=None, path=()):
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", [(), *every_command()], ids=" ".join)
def test_help_has_an_example(path, capsys):
    assert main([*path, "--help"]) == 0
    assert f"Example:  v2ir {' '.join(path)}".rstrip() in capsys.readouterr().out


def test_version_and_nothing(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"v2ir {__version__}\n"
    assert main([]) == 0
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["translat", "a", "b"], "translat"),
        (["translate", "a"], "output"),
        (["translate", "a", "b", "--steps", "many"], "--steps"),
        (["translate", "a", "b", "--steps", "2.5"], "--steps"),
        (["translate", "a", "b", "--s-text", "strong"], "--s-text"),
        (["translate", "a", "b", "--s-visible", "1,5"], "--s-visible"),
        (["translate", "a", "b", "--s-segments", ""], "--s-segments"),
        (["translate", "a", "b", "--colour"], "--colour"),
        (["world", "render", "--count", "0", "--out", "w"], "--count"),
        (["world", "render", "--out", "w"], "--count"),
        (["world", "rendr"], "rendr"),
    ],
)
def test_usage_errors_are_one_line(arguments, said, translate, capsys):
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.err.startswith("error: ") and output.err.count("\n") == 1 and said in output.err
    assert output.out == ""
    assert translate.called is None


def test_a_user_error_is_one_line(translate, capsys):
    translate.error = UserError("there is nothing at a:\ncheck the path")
    assert main(["translate", "a", "b"]) == 2
    assert capsys.readouterr().err == "error: there is nothing at a: check the path\n"


STOPPED = "phase2: saved at step 7; the same command goes on"


@pytest.mark.parametrize(
    "told, said", [([], "interrupted\n"), ([STOPPED.replace("; ", ";\n")], f"interrupted: {STOPPED}\n")]
)
def test_an_interruption_is_one_line_that_keeps_what_it_says(translate, monkeypatch, capsys, told, said):
    translate.error = KeyboardInterrupt(*told)
    assert main(["translate", "a", "b"]) == 130
    assert capsys.readouterr().err == said

    def render_folder(*_, **__):
        raise KeyboardInterrupt(*told)

    module = types.ModuleType("v2ir_lib.world.folder")
    module.render_folder = render_folder
    monkeypatch.setitem(sys.modules, "v2ir_lib.world.folder", module)
    assert main(["world", "render", "--count", "1", "--out", "w"]) == 130, "a command in a group"
    assert capsys.readouterr().err == said


def test_a_bug_keeps_its_traceback(translate):
    translate.error = ZeroDivisionError("ours")
    with pytest.raises(ZeroDivisionError, match="ours"):
        main(["translate", "a", "b"])


def test_translate_passes_its_options_on(translate, capsys):
    options = "--steps 5 --s-text 2 --s-visible 1.5 --s-segments 0 --seed 7 --prompt x --batch-size 2 --device cpu"
    assert main(["translate", "a", "b", *options.split(), "--overwrite", "--json", "--model", "m"]) == 1
    arguments, keywords = translate.called
    assert [str(path) for path in arguments] == ["a", "b"]
    assert str(keywords.pop("model")) == "m"
    assert keywords == dict(
        steps=5,
        s_text=2.0,
        s_visible=1.5,
        s_segments=0.0,
        seed=7,
        prompt="x",
        batch_size=2,
        device="cpu",
        overwrite=True,
    )
    assert '"ß.png"' in capsys.readouterr().out


LIGHT = {
    "the command": ("from v2ir_lib.cli import main; main(['--help'])", {"torch", "mitsuba", "papermill", "matplotlib"}),
    "what chapters 01 and 02 look at": ("import v2ir_lib.tutorial.samples", {"peft"}),
}


@pytest.mark.parametrize("what", LIGHT)
def test_starts_without_the_heavy_libraries(what):
    start, unneeded = LIGHT[what]
    heavy = f"{unneeded | {'diffusers', 'transformers'}} & set(sys.modules)"
    program = f"import sys; {start}; heavy = {heavy}; sys.exit(f'imports {{heavy}}' if heavy else 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
