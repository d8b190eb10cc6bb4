"""`v2ir doctor`: what this machine has, what fits on it, what is missing and how to mend it."""

import json
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from v2ir_lib import __version__
from v2ir_lib.files import cache_dir, repo_root
from v2ir_lib.profiles import TINY

PACKAGES = (
    "torch torchvision diffusers transformers peft accelerate segment-anything safetensors "
    "mitsuba numpy papermill jupyterlab"
).split()

# Millions of parameters of what the profile `full` runs with.
_UNET, _TEXT, _AUTOENCODER, _BLIP, _SAM, _LORA = 859.5, 123.1, 83.7, 224.0, 641.1, 3.2
_TRAIN = 16  # bytes a parameter in fp32: weight, gradient, AdamW's two moments
_FP32, _FP16 = 4, 2

# (what, GB, how the number was come by). Gigabytes of 10^9 bytes.
NEEDS = (
    ("tiny: translate, notebooks, training", 3.0, "bound"),
    (
        "full: translate (fp16; SAM in fp32)",
        ((_UNET + _TEXT + _AUTOENCODER + _BLIP) * _FP16 + _SAM * _FP32) / 1000,
        "computed",
    ),
    (
        "full: phase 1 (LoRA, the rest frozen, fp32)",
        ((_UNET + _TEXT + _AUTOENCODER) * _FP32 + _LORA * _TRAIN) / 1000,
        "computed",
    ),
    (
        "full: phases 2 and 3 (whole UNet, fp32, with EMA)",
        (_UNET * (_TRAIN + _FP32) + (_TEXT + _AUTOENCODER) * _FP32) / 1000,
        "computed",
    ),
)
BASES = {
    "bound": "the limit that the tiny profile is held to",
    "computed": "from parameter counts: weights, and in training gradients, AdamW moments and EMA; "
    "activations come on top and grow with the batch",
}


def examine() -> dict:
    """Everything as plain data, ready for JSON: versions, machine, fits, files, and `problems` with how to mend each.

    Sizes in GB (10^9 bytes). Takes a few seconds: it imports torch and renders one tiny Mitsuba picture.
    """
    problems: list[dict] = []
    versions = _versions(problems)
    processor, gpus = _torch_facts(problems)
    memory = psutil.virtual_memory()
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": _cores(),
        **processor,
        "memory_gb": _gb(memory.total),
        "memory_free_gb": _gb(memory.available),
        "gpus": gpus,
        "disk_free_gb": _disk_free(repo_root()),
        "cache": str(cache_dir()),
        "cache_disk_free_gb": _disk_free(cache_dir()),
    }
    if machine["disk_free_gb"] < 2 or machine["cache_disk_free_gb"] < 2:
        _add(problems, "less than 2 GB of disk left", "free some, or put the cache elsewhere: export V2IR_CACHE=FOLDER")
    return {
        "versions": versions,
        "machine": machine,
        "fits": [_fit(*need, memory.available / 1e9, gpus) for need in NEEDS],
        "files": _files(problems),
        "mitsuba": _mitsuba(problems),
        "problems": problems,
    }


def show(report: dict) -> None:
    """Print a report of `examine` as tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()

    def table(title: str, *columns: str) -> Table:
        made = Table(*columns, title=title, title_justify="left", show_header=any(columns), box=None, padding=(0, 2))
        made.title_style = "bold"
        return made

    machine = report["machine"]
    facts = table("Machine", "", "")
    facts.add_row("system", machine["system"])
    facts.add_row("cores, threads", f"{machine['cores']} cores, torch uses {machine['threads'] or '?'}")
    facts.add_row("instructions", ", ".join(machine["instructions"]) or "nothing special")
    facts.add_row("memory", f"{machine['memory_gb']} GB, {machine['memory_free_gb']} free")
    gpus = [f"{gpu['name']}, {gpu['memory_gb']} GB, {gpu['memory_free_gb']} free" for gpu in machine["gpus"]]
    facts.add_row("GPU", "\n".join(gpus) or "none")
    facts.add_row("disk", f"{machine['disk_free_gb']} GB free; cache: {machine['cache_disk_free_gb']} GB free")
    console.print(facts)

    versions = table("Versions", "", "")
    for name, found in report["versions"].items():
        versions.add_row(name, found or "[red]missing[/]")
    console.print(versions)

    fits = table("What fits", "task", "needs", "", "CPU", "GPU")
    for fit in report["fits"]:
        marks = {True: "[green]yes[/]", False: "[red]no[/]", None: "–"}
        fits.add_row(fit["task"], f"{fit['needs_gb']} GB", fit["basis"], marks[fit["fits_cpu"]], marks[fit["fits_gpu"]])
    console.print(fits)
    for basis, meaning in BASES.items():
        console.print(f"  {basis}: {meaning}", style="dim")

    files = table("Shipped files", "", "")
    for name, there in report["files"].items():
        files.add_row(name, "present" if there else "[red]missing[/]")
    files.add_row("Mitsuba, scalar_rgb", "renders" if report["mitsuba"] else "[red]does not work[/]")
    console.print(files)

    if not machine["gpus"]:
        console.print("No GPU here: 'make help' says how to do without the CUDA libraries (3 GB).", style="dim")
    for problem in report["problems"]:
        console.print(f"[red]✗[/] {problem['what']}\n  → {problem['mend']}", highlight=False)
    if not report["problems"]:
        console.print("[green]✓[/] nothing is missing")


# --- what is looked at -------------------------------------------------------------------------------------------


def _versions(problems: list[dict]) -> dict:
    found: dict[str, str | None] = {"v2ir-lib": __version__, "python": platform.python_version()}
    tested = _locked()
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
            _add(problems, f"{name} is not installed", "make install")
            continue
        if tested.get(name) and found[name].split("+")[0] != tested[name]:
            _add(problems, f"{name} is {found[name]}, tested with {tested[name]}", "make install")
    if found["torch"] and found["torchvision"] and not _pair(found["torch"], found["torchvision"]):
        _add(
            problems,
            f"torch {found['torch']} and torchvision {found['torchvision']} were not published as a pair",
            "make install (the pair in requirements.lock is tested)",
        )
    return found


def _locked() -> dict[str, str]:
    """Name to version, as requirements.lock has them."""
    lock = repo_root() / "requirements.lock"
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.exists() else []
    pins = [line.split(";")[0].strip().split("==") for line in lines if "==" in line.split(";")[0]]
    return {name: pinned for name, pinned in pins}


def _pair(torch: str, torchvision: str) -> bool:
    """torchvision 0.(n + 15) is published for torch 2.n."""
    major, minor = (int(part) for part in torch.split(".")[:2])
    return major != 2 or torchvision.split(".")[:2] == ["0", str(minor + 15)]


def _torch_facts(problems: list[dict]) -> tuple[dict, list[dict]]:
    """Threads and instruction set, and the GPUs, as torch sees them."""
    try:
        import torch
    except Exception as error:
        _add(problems, f"torch cannot be imported: {_first_line(error)}", "rm -rf .venv && make install")
        return {"threads": None, "instructions": []}, []
    try:
        import torchvision  # noqa: F401
    except Exception as error:
        _add(problems, f"torchvision cannot be imported: {_first_line(error)}", "rm -rf .venv && make install")
    probes = {"AVX2": "avx2", "AVX512": "avx512", "AVX512-BF16": "avx512_bf16"}
    instructions = [
        name for name, probe in probes.items() if getattr(torch.cpu, f"_is_{probe}_supported", lambda: False)()
    ]
    gpus = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(index)
        gpus.append(
            {
                "name": torch.cuda.get_device_name(index),
                "memory_gb": _gb(total),
                "memory_free_gb": _gb(free),
                "bf16": torch.cuda.is_bf16_supported(),
            }
        )
    return {"threads": torch.get_num_threads(), "instructions": instructions}, gpus


def _mitsuba(problems: list[dict]) -> bool:
    """Whether the renderer of the world renders: one sphere, 4×4 pixels."""
    try:
        import mitsuba

        mitsuba.set_variant("scalar_rgb")
        film = {"type": "hdrfilm", "width": 4, "height": 4}
        sensor = {"type": "perspective", "film": film}
        scene = {"type": "scene", "integrator": {"type": "path"}, "sensor": sensor, "sky": {"type": "constant"}}
        mitsuba.render(mitsuba.load_dict(scene), spp=1)
    except Exception as error:
        _add(problems, f"Mitsuba does not render: {_first_line(error)}", "make install")
        return False
    return True


def _files(problems: list[dict]) -> dict[str, bool]:
    """The shipped weights and samples: is each there and whole?"""
    root = repo_root()
    found = {name: _whole(root / name) for name in dict.fromkeys(vars(TINY.sources).values())}
    found["data_samples"] = any((root / "data_samples").glob("manifest*"))
    missing = [name for name, there in found.items() if not there]
    if missing:
        _add(
            problems,
            f"missing or damaged: {', '.join(missing)}",
            "git checkout -- models data_samples   (weights can be trained again: make recipes)",
        )
    return found


def _whole(folder: Path) -> bool:
    """Whether a model folder has readable configurations, and weights of the length that their header promises."""
    from safetensors import SafetensorError, safe_open

    weights = list(folder.glob("**/*.safetensors"))
    try:
        for path in weights:
            safe_open(path, framework="numpy")
        for path in folder.glob("*.json"):
            json.loads(path.read_text(encoding="utf-8"))
    except (SafetensorError, OSError, ValueError):
        return False
    return bool(weights) or (folder.name == "tokenizer" and any(folder.glob("*.json")))


def _fit(task: str, needs: float, basis: str, memory: float, gpus: list[dict]) -> dict:
    largest = max((gpu["memory_free_gb"] for gpu in gpus), default=None)
    return {
        "task": task,
        "needs_gb": round(needs, 1),
        "basis": basis,
        "fits_cpu": needs <= memory,
        "fits_gpu": None if largest is None else needs <= largest,
    }


def _cores() -> int:
    """Cores that this process may use: a container often has fewer than the machine."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:  # a container's quota: "200000 100000" are two cores
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(allowed, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return allowed


def _disk_free(path: Path) -> float:
    while not path.exists():
        path = path.parent
    return _gb(shutil.disk_usage(path).free)


def _gb(size: float) -> float:
    return round(size / 1e9, 1)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _add(problems: list[dict], what: str, mend: str) -> None:
    problems.append({"what": what, "mend": mend})
