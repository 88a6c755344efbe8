"""The documentation site builds without a warning, and holds what it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fdsl_gen
import fdsl_train
from fdsl_gen.variants import kinds
from tests import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site with tiny pictures."""
    folder = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"SIDE": "32", "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "WARNING" not in run.stderr
    return folder


@pytest.mark.slow
def test_every_kind_has_a_page_with_pictures(site):
    for kind in kinds():
        text = (site / "gallery" / kind / "index.html").read_text()
        pictures = re.findall(r'<img [^>]*src="\.\./([^"]+\.jpg)"', text)
        assert f"{kind}-between.jpg" in pictures
        assert all((site / "gallery" / name).is_file() for name in pictures)


@pytest.mark.slow
def test_commands_and_public_names_are_listed(site):
    shown = {name: (site / name / "index.html").read_text() for name in _SHOWN}
    missing = [
        (name, word) for name, words in _SHOWN.items() for word in words if word not in shown[name]
    ]
    assert not missing


_SHOWN = {
    "cli/fdsl-gen": ("fdsl-gen verify", "--imagefolder"),
    "cli/fdsl-train": ("fdsl-train knn", "--temperature"),
    "api/fdsl_gen": fdsl_gen.__all__,
    "api/fdsl_train": fdsl_train.__all__,
}


@pytest.mark.slow
def test_nothing_is_fetched_from_other_hosts(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not re.findall(r'<(?:script|img)[^>]+src="https?:', text), page
        assert not re.findall(r'<link rel="stylesheet" href="https?:', text), page
