"""The package as users get it: from a wheel and as an editable install, in another folder."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests import ROOT

pytestmark = pytest.mark.slow  # starts processes


def run(*command: object, cwd: Path) -> str:
    # What the environment adds to the path must not hide what was installed.
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [*map(str, command)]
    done = subprocess.run(words, cwd=cwd, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("how", ["wheel", "editable"])
def test_recipes_come_with_the_package(tmp_path, how):
    """Installed without its dependencies, which the environment of the tests lends."""
    if how == "wheel":
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        run(*pip, "--wheel-dir", tmp_path, ROOT, cwd=tmp_path)
        (what,) = [[str(path)] for path in tmp_path.glob("fdsl-*.whl")]
    else:
        what = ["--editable", str(ROOT)]
    venv.create(tmp_path / "env", with_pip=True, symlinks=True)
    python = tmp_path / "env/bin/python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", *what, cwd=tmp_path)
    (site,) = (tmp_path / "env/lib").glob("python*/site-packages")
    lent = Path(next(p for p in sys.path if p.endswith("site-packages")))
    (site / "zz-lent.pth").write_text(f"{lent}\n")
    where = run(python, "-c", "import fdsl_gen; print(fdsl_gen.__file__)", cwd=tmp_path)
    assert (str(site) in where) == (how == "wheel")
    shown = run(tmp_path / "env/bin/fdsl-gen", "show", "fractal-1", cwd=tmp_path)
    assert "kind: fractal-1" in shown
    listed = run(tmp_path / "env/bin/fdsl-gen", "list", cwd=tmp_path)
    assert "fractal-1-21k" in listed
