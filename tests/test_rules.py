"""Rules of the project that a test can check."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests import ROOT

SOURCES = sorted([*(ROOT / "fdsl_gen").rglob("*.py"), *(ROOT / "fdsl_train").rglob("*.py")])
PIXELS = [
    path
    for folder in ("kernels", "geometry", "variants")
    for path in sorted((ROOT / "fdsl_gen" / folder).glob("*.py"))
]
# Imports run from right to left: a package may use those before it.
ORDER = ["core", "kernels", "geometry", "archive", "storage", "variants", "recipe", "executors"]
ORDER += ["dataset", "build", "explore", "cli"]
TRAINER_MAY_USE = {"core", "archive", "storage"}  # and the public names of fdsl_gen


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def code_of(path: Path) -> str:
    """The source without comments and docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            node.value.value = ""
    return ast.unparse(tree)


def test_generator_never_imports_torch_or_the_trainer():
    for path in (ROOT / "fdsl_gen").rglob("*.py"):
        for name in imports(path):
            assert name.split(".")[0] not in {"torch", "timm", "torchvision", "fdsl_train"}, path


def packages_used(path: Path) -> set[str]:
    """Packages of ``fdsl_gen`` that a file imports from."""
    return {
        name.split(".")[1]
        for name in imports(path)
        if name.startswith("fdsl_gen.") and name.split(".")[1] in ORDER
    }


def test_imports_run_downwards():
    for path in (ROOT / "fdsl_gen").rglob("*.py"):
        package = path.relative_to(ROOT / "fdsl_gen").parts[0]
        for used in packages_used(path) if package in ORDER else ():
            fine = ORDER.index(used) <= ORDER.index(package)
            assert fine, f"{path} imports {used}"
    for path in (ROOT / "fdsl_train").rglob("*.py"):
        for used in packages_used(path):
            fine = used in TRAINER_MAY_USE
            assert fine, f"{path} imports {used}"


def test_windows_is_refused_in_one_sentence():
    script = "import sys; sys.platform = 'win32'; import fdsl_gen.core.errors"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: fdsl runs on Linux and macOS")


def test_calls_of_linux_alone_stand_in_one_place():
    for path in SOURCES:
        if path.name != "cpus.py":
            found = re.search(r"sched_getaffinity|/proc/|/sys/|prctl|posix_fadvise", code_of(path))
            assert not found, f"{path}: {found.group()}"


def test_kernels_and_geometry_know_nothing_of_files_and_commands():
    for path in PIXELS:
        for name in imports(path):
            assert name.split(".")[0] not in {"click", "tqdm", "multiprocess"}, path
    for path in (ROOT / "fdsl_gen" / "kernels").glob("*.py"):
        for name in imports(path):
            if name.startswith("fdsl_gen"):
                assert name.split(".")[1] in {"kernels", "core"}, path


FROZEN = r"RandomState\(_SHARED_SEED\)|PCG64\(_RELEASED_SEED\)\.advance"  # streams of released code
FORBIDDEN = {
    r"fastmath|parallel=True": "what is promised to the bit may not be reordered",
    rf"np\.random\.(?!{FROZEN})": "draws come from keys",
    r"\b(?:np|math)\.(?:sin|cos|tan|exp|log\d*|power|hypot|atan2|arctan2)\(": "libm differs",
    r"np\.(?:dot|matmul|einsum|linalg)|\.dot\(|(?<=\w) @ (?=\w)": "BLAS differs",
    r"np\.(?:sum|mean|std|var)\(|\.mean\(|\.std\(": "the order of NumPy's sums differs",
    r"default_rng|\brandom\.random": "draws come from keys",
}


@pytest.mark.parametrize("path", PIXELS, ids=lambda p: p.name)
def test_pixels_use_only_exact_arithmetic(path):
    source = code_of(path)
    for pattern, why in FORBIDDEN.items():
        found = re.search(pattern, source)
        assert not found, f"{path.name}: {found.group()}: {why}"


SHOW_ASSEMBLY = """
import numpy as np
from fdsl_gen.kernels import chaos, elementary
from fdsl_gen.recipe.jobs import render
from tests.fdsl_gen.variants.test_determinism import tiny
render(tiny("fractal-1"), 0)
for name in ("sin", "cos", "exp", "log"):
    getattr(elementary, name)(np.float64(0.5))
for f in (chaos.follow, chaos.to_pixels, elementary.sin, elementary.exp, elementary.log):
    for listing in f.inspect_asm().values():
        sys.stdout.write(listing)
"""


@pytest.mark.slow
def test_compiled_kernels_contain_no_fused_multiply_add(tmp_path):
    """A fused multiply-add rounds once where the definition rounds twice.

    Compiled anew, because numba shows the assembly only of what it has just compiled.
    """
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", "import sys" + SHOW_ASSEMBLY],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\bv?mul[ps]d\b|\bfmul\b", done.stdout)  # x86-64, aarch64
    assert not re.search(r"\bvfn?m(?:add|sub)|\bfn?m(?:add|sub)\b|\bfml[as]\b", done.stdout)


def test_nothing_is_written_back_into_settings():
    """Derived values are properties, so that ``dataclasses.replace`` of others stays true."""
    for path in SOURCES:
        assert "__setattr__(" not in code_of(path), path


def test_nothing_prints():
    for path in SOURCES:
        assert not re.search(r"(?<![\w.])print\(", code_of(path)), path


def test_files_stay_small():
    for path in SOURCES:
        assert len(path.read_text().splitlines()) <= 450, path


def test_text_files_name_no_path_of_a_machine():
    for pattern in ("**/*.py", "**/*.md", "recipes/**/*.yaml", "Makefile", ".ci/run"):
        for path in ROOT.glob(pattern):
            if ".venv" in path.parts or path == Path(__file__):
                continue
            assert not re.search(r"/(?:work|root|home)/\w", path.read_text()), path


def test_every_public_function_has_a_docstring():
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_the_version_is_told():
    import fdsl_gen

    dated = rf"^## {re.escape(fdsl_gen.__version__)} \(\d{{4}}-\d\d-\d\d\)$"
    assert re.search(dated, (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert f"version: {fdsl_gen.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_lock_pins_all_that_is_asked_for():
    """``make lock`` writes it; it says versions, and no place to get them from."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = [line.split()[0] for line in (ROOT / "requirements-dev.lock").read_text().splitlines()]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.+]+", line) for line in pinned)
    extras = re.search(r"^EXTRAS := (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    wanted = [*project["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    names = {re.match(r"[\w-]+", one)[0].lower().replace("_", "-") for one in wanted}
    assert names <= {line.partition("==")[0] for line in pinned}
