"""The commands as a user sees them."""

import re
import time

import pytest
import yaml

from fdsl_gen import generate, load_recipe
from tests.conftest import SMALL, fdsl_gen, options

pytestmark = pytest.mark.slow  # starts processes


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['fdsl-gen', '--help']\n"
        "from fdsl_gen.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numba', 'numpy', 'torch', 'PIL', 'fdsl_gen.variants'}\n"
        "heavy |= {'boto3', 'dask', 'distributed', 'multiprocess'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r" fractal-1 +fractal-1-21k", done.stdout)
    assert re.search(r"verify +Check every file", done.stdout)


def test_a_dataset_from_the_command_line(tmp_path):
    began = time.monotonic()
    done = fdsl_gen("fractal_1", "--out", tmp_path / "set", *options(SMALL))
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 120
    lines = done.stdout.splitlines()
    assert re.fullmatch(r".*set is complete: 40 images in [\d.]+ s \([\d,]+ img/s\)", lines[0])
    assert lines[1].startswith("look at ")
    assert lines[2] == f"  fdsl-gen verify {tmp_path / 'set'}"
    assert lines[3].startswith(f"  fdsl-train pretrain --data {tmp_path / 'set'}")
    manifest = generate(load_recipe("fractal-1", **SMALL), tmp_path / "again", workers=1)
    assert (tmp_path / "set/manifest.json").read_bytes() == manifest.to_json()
    assert "40 of 40" not in done.stderr
    again = fdsl_gen("fractal-1", "--out", tmp_path / "set", *options(SMALL))
    assert again.returncode == 0
    assert "40 img were done before, 0 are left" in again.stderr


def test_run_takes_the_yaml_that_show_prints(tmp_path):
    shown = fdsl_gen("show", "fractal-1", *options(SMALL))
    assert shown.returncode == 0, shown.stderr
    data = yaml.safe_load(shown.stdout)
    assert data["variant"]["image_size"] == 64
    assert data["variant"]["delta"] == 0.1
    path = tmp_path / "mine.yaml"
    path.write_text(shown.stdout)
    recipe = load_recipe(path)
    assert recipe.to_dict() == load_recipe("fractal-1", **SMALL).to_dict()
    assert f"# identity {recipe.identity}" in shown.stdout
    done = fdsl_gen("run", path, "--out", tmp_path / "set", "--delta", 0.2)
    assert done.returncode == 0, done.stderr
    assert '"delta": 0.2' in (tmp_path / "set/manifest.json").read_text()


def test_dry_run_writes_nothing(tmp_path):
    done = fdsl_gen("fractal-1", "--dry-run", "--out", tmp_path / "x", "--num-categories", 100)
    assert done.returncode == 0
    assert done.stdout.startswith("fractal-1: 100 images, 100 categories, 8 shards, about 1.70 MB")
    assert not (tmp_path / "x").exists()


def test_status_and_finalize(tmp_path):
    out = tmp_path / "set"
    manifest = generate(load_recipe("fractal-1", **SMALL), out, workers=1)
    assert fdsl_gen("status", out).stdout == "8 of 8 shards are done\ncomplete\n"
    (out / "manifest.json").unlink()
    assert fdsl_gen("status", out).stdout.endswith(f"next: fdsl-gen finalize {out}\n")
    done = fdsl_gen("finalize", out)
    assert done.stdout == f"{out} is complete, content digest {manifest.content_digest}\n"
    assert (out / "manifest.json").read_bytes() == manifest.to_json()
    (out / "fractal-1-train-000004.tar").unlink()
    shown = fdsl_gen("status", out).stdout
    assert shown.startswith("7 of 8 shards are done\nmissing: fractal-1-train-000004.tar\n")
    failed = fdsl_gen("finalize", out)
    assert failed.returncode == 3
    assert "1 shards" in failed.stderr
    assert "fractal-1-train-000004.tar" in failed.stderr


def test_list_cite_version_preview(tmp_path):
    listed = fdsl_gen("list").stdout
    assert re.search(r"fractal-1-21k +21,000 +357 MB +512 ", listed)
    assert "Scaling Backwards" in fdsl_gen("cite", "fractal-1").stdout
    assert re.fullmatch(r"fdsl-gen, version \d+\.\d+\.\d+\n", fdsl_gen("--version").stdout)
    done = fdsl_gen(
        "preview", "fractal-1", "--out=a.png", "--categories=6", "--columns=3", cwd=tmp_path
    )
    assert done.stdout == "a.png\n"
    from PIL import Image

    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width > 3 * 192
        assert sheet.height > 2 * 192


def test_plain_progress_lines(monkeypatch, capsys):
    from fdsl_gen.core import progress

    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with progress.Progress() as shown:
        shown.begin(images=100, done=20)
        for _ in range(4):
            shown.images(10)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "20 img were done before, 100 are left"
    assert len(lines) >= 2
    assert re.fullmatch(r"\d+ of 100 img, \d+ img/s, [\d:]+ left", lines[1])


@pytest.mark.parametrize("command", ["fractal-1", "run fractal-1", "show fractal-1", "preview"])
def test_every_setting_is_an_option_with_help(command):
    done = fdsl_gen(*command.split(), *([] if command != "preview" else ["fractal-1"]), "--help")
    assert done.returncode == 0, done.stderr
    for option in ("--delta", "--sigma-factor", "--draw", "--map-sequence", "--base", "--seed"):
        assert option in done.stdout


def test_categories_are_searched_printed_and_shown(tmp_path):
    settings = ["--num-categories=12", "--search-points=3000", "--search-size=64"]
    settings += ["--filling-rate=0.1", "--image-size=64", "--num-points=2000"]
    printed = fdsl_gen("categories", "fractaldb-1k", *settings)
    assert printed.returncode == 0, printed.stderr
    lines = printed.stdout.splitlines()
    assert lines[0] == "category,map,a,b,c,d,e,f,p,num_candidates,quality"
    assert {line.split(",")[0] for line in lines[1:]} == {str(c) for c in range(12)}
    out = tmp_path / "set"
    files = [f"--table={tmp_path / 'a.csv'}", f"--picture={tmp_path / 'a.png'}"]
    done = fdsl_gen("categories", "fractaldb-1k", *settings, f"--out={out}", *files)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.csv").read_text() == printed.stdout
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert (out / "__meta__/categories/block-000000.npz").exists()
    begun = fdsl_gen("fractaldb-1k", *settings, "--num-instances=8", f"--out={out}")
    assert begun.returncode == 2
    assert "different: num_instances" in begun.stderr
