"""Hook of mkdocs: pages and pictures that are made from the code, and links that leave `docs/`."""

import fnmatch
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # mkdocs runs this file by itself

from docs.site import pages, pictures  # noqa: E402

_HOME = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
_STYLE = ".md-typeset td:first-child code { white-space: nowrap; }\n"
_ROLE = re.compile(r":(?:attr|class|func|meth|mod):(?=<(?:a|code))")  # of docstrings
_LINK = re.compile(r"(?P<text>!?\[[^\]]*\])\((?P<target>[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """Small pictures while the site is only tried (`SIDE=64 mkdocs build`)."""
    pictures.SIDE = int(config["extra"].get("side") or pictures.SIDE)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add what is written nowhere: front page, kinds, commands, public names, examples."""
    made: dict[str, str | bytes] = {}
    for name, page in _HOME.items():
        made[page] = _from_root((ROOT / name).read_text())
    made |= pages.kinds_pages()
    made |= pages.command_pages()
    made |= pages.api_pages()
    made |= pages.example_pages(ROOT / "examples")
    made["site.css"] = _STYLE
    config["extra_css"].append("site.css")
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    config["nav"] = _navigation({file.src_uri for file in files.documentation_pages()})
    return files


_SECTIONS = {
    "How to": ("howto-*.md",),
    "Gallery": ("gallery/index.md", "gallery/*.md"),
    "Datasets": ("datasets.md", "format.md", "scale.md"),
    "Training": ("training.md", "webdataset.md", "segmentation.md", "detection.md"),
    "Evidence": ("reproduce.md", "hypotheses.md", "*mix*.md", "benchmarks.md"),
    "Reference": ("cli/*.md", "api/*.md"),
    "Examples": ("examples/*.md",),
    "Project": ("architecture.md", "contributing.md", "security.md", "changelog.md"),
}


def _navigation(pages_left: set[str]) -> list[Any]:
    """The pages in sections; what no section names comes last."""
    found: list[Any] = ["index.md"]
    pages_left = pages_left - {"index.md"}
    for title, patterns in _SECTIONS.items():
        section = [
            page for pattern in patterns for page in sorted(fnmatch.filter(pages_left, pattern))
        ]
        section = list(dict.fromkeys(section))
        pages_left = pages_left - set(section)
        if section:
            found.append({title: section})
    return found + ([{"More": sorted(pages_left)}] if pages_left else [])


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links out of `docs/` lead to the pages made from those files."""
    return _LINK.sub(_inside, markdown) if "/" not in page.file.src_uri else markdown


def on_page_content(html: str, **_: Any) -> str:
    """Names in docstrings without the roles that only Sphinx knows."""
    return _ROLE.sub("", html)


def _from_root(text: str) -> str:
    """A document of the root as if it stood in `docs/`."""
    text = text.replace("](docs/", "](").replace('src="docs/', 'src="')
    return re.sub(
        r"\]\((?=(?:examples|experiments|recipes|fdsl_gen|fdsl_train|LICENSE)\b)", "](../", text
    )


def _inside(found: re.Match[str]) -> str:
    target, anchor = found["target"], found["anchor"] or ""
    if target in _HOME:
        return f"{found['text']}({_HOME[target]}{anchor})"
    if not target.startswith("../"):
        return found[0]
    path = target.removeprefix("../")
    if path in _HOME:
        return f"{found['text']}({_HOME[path]}{anchor})"
    if path.startswith("examples/") and (ROOT / path).is_file():
        return f"{found['text']}({pages.example_page(Path(path))})"
    return found["text"].strip("[]")  # files of the source that are no page
