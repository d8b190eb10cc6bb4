"""What the benchmark concludes from what it measured."""

import argparse
import importlib.util
import math

import cv2
import numpy as np
import pytest

from v2ir_lib.files import repo_root


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("data_scale", repo_root() / "benchmarks" / "data_scale.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_exponents(benchmark):
    sizes = [1000, 2000, 4000]
    assert benchmark.exponent(sizes, [3 * n**1.5 for n in sizes]) == pytest.approx(1.5)
    assert 1.1 < benchmark.exponent(sizes, [n * math.log(n) for n in sizes]) < 1.2


def test_projection(benchmark):
    stages = lambda n, memory: {  # noqa: E731
        stage: {"seconds": 2 + 0.001 * n, "peak_memory_bytes": memory} for stage in benchmark.STAGES
    }
    found = benchmark.project({n: stages(n, 10**6 + 50 * n) for n in (1000, 2000, 4000)})["split"]
    assert found["seconds"] == pytest.approx(502, abs=0.1) and found["peak_memory_bytes"] == pytest.approx(
        26e6, rel=1e-3
    )
    flat = benchmark.project({n: stages(n, 10**8 - n) for n in (1000, 2000, 4000)})["split"]
    assert flat["peak_memory_bytes"] == 10**8 - 4000, "less memory for more rows is noise: no projection to nothing"


def test_sizes(benchmark):
    assert benchmark.numbers("60,80,120") == [60, 80, 120]
    for text in ("100,200", "200,100,300", "100,100,200", "10,100,200"):
        with pytest.raises(argparse.ArgumentTypeError):
            benchmark.numbers(text)


def test_pictures(benchmark, tmp_path):
    """Sequences of twenty: frames alike within one, not between two; made in two goes as in one."""
    total = benchmark.make_pictures(tmp_path / "a", 0, 30, (64, 48), seed=1)
    total += benchmark.make_pictures(tmp_path / "a", 30, 45, (64, 48), seed=1)
    assert total == benchmark.make_pictures(tmp_path / "b", 0, 45, (64, 48), seed=1)
    files = sorted((tmp_path / "a" / "visible").rglob("*.jpg"))
    assert len(files) == 45 and len({path.parent for path in files}) == 3
    first, second, other = (cv2.imread(str(files[i]), cv2.IMREAD_GRAYSCALE).ravel() for i in (0, 1, 20))
    assert np.corrcoef(first, second)[0, 1] > 0.7 > 0.4 > abs(np.corrcoef(first, other)[0, 1])
