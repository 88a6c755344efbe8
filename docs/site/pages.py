"""Pages of the site that are made from the code."""

import dataclasses
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fdsl_gen
import fdsl_train
from docs.site import pictures
from fdsl_gen.core import recipe_files
from fdsl_gen.recipe.recipe import load_recipe
from fdsl_gen.variants import kinds, variant_class
from fdsl_gen.variants.base import Variant

Pages = dict[str, str | bytes]

_API = """\
::: {path}
    options:
      heading_level: 2
      show_root_heading: true
      show_root_full_path: false
      show_source: false
"""


def kinds_pages() -> Pages:
    """The gallery: a page for every kind of dataset, and one that shows all."""
    found: Pages = {"gallery/all.jpg": pictures.jpeg(pictures.gallery())}
    lines = ["# Gallery", "", "![One image of every kind of dataset](all.jpg)", ""]
    for kind in kinds():
        found |= kind_page(kind)
        summary = _summary(variant_class(kind, "kind"))
        lines.append(f"- [{kind}]({kind}.md): {summary}")
    found["gallery/index.md"] = "\n".join(lines) + "\n"
    return found


def kind_page(kind: str) -> Pages:
    """The page of a kind, and its pictures."""
    cls = variant_class(kind, "kind")
    names = pictures.recipes_of(kind)
    recipe = pictures.small(names[0])
    found: Pages = {}

    def shown(name: str, image: Any, alt: str) -> str:
        path = f"{kind}-{name}.jpg"
        found[f"gallery/{path}"] = pictures.jpeg(image)
        return f"![{alt}]({path})"

    parts = [f"# {kind}", _summary(cls), _recipes_table(names)]
    title = "Images" if cls.SCENE else "Between categories"
    sheet = pictures.samples_sheet(recipe, pictures.between(recipe))
    parts += [f"## {title}", shown("between", sheet, f"{kind}, several categories")]
    if not cls.SCENE and recipe.num_instances > 1:
        sheet = pictures.samples_sheet(recipe, pictures.within(recipe))
        parts += ["## Within a category", shown("within", sheet, f"{kind}, one category")]
    parts += ["## Settings", _settings_table(cls)]
    for setting, values in pictures.extremes().get(kind, {}).items():
        sheet = pictures.setting_sheet(names[0], setting, values)
        parts += [f"### {setting}", shown(setting, sheet, f"{kind} under several {setting}")]
    source = " --source photo.jpg" if kind == "real-1" else ""
    commands = [
        f"fdsl-gen preview {names[0]}{source}",
        f"fdsl-gen {names[0]}{source} --out shards/",
        f"fdsl-gen show {names[0]} > mine.yaml",
    ]
    parts += ["## Commands", "```sh\n" + "\n".join(commands) + "\n```"]
    parts += ["## Paper", f"```bibtex\n{cls.CITATION}\n```"]
    parts.append("Where we differ from it: [Datasets](../datasets.md).")
    found[f"gallery/{kind}.md"] = "\n\n".join(parts) + "\n"
    return found


def _summary(cls: type[Variant]) -> str:
    """The first sentence that the module of a kind says of it."""
    return str(sys.modules[cls.__module__].__doc__).strip().splitlines()[0]


def _recipes_table(names: list[str]) -> str:
    folder = recipe_files.recipe_folder()
    rows = ["| recipe | images | |", "|---|---|---|"]
    for name in names:
        recipe = load_recipe(name) if name != "real-1" else pictures.small(name)
        headline = recipe_files.headline(recipe_files.find_recipe(name, folder))
        rows.append(f"| `{name}` | {recipe.num_train_samples:,} | {headline} |")
    return "\n".join(rows)


def _settings_table(cls: type[Variant]) -> str:
    rows = ["| setting | default | values | meaning |", "|---|---|---|---|"]
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        default = "" if field.default is dataclasses.MISSING else f"`{field.default}`"
        values = _values(hints[field.name], field.metadata)
        doc = str(field.metadata["doc"]).replace("|", "\\|")
        rows.append(f"| `{field.name}` | {default} | {values} | {doc} |")
    return "\n".join(rows)


def _values(annotation: Any, metadata: Mapping[str, Any]) -> str:
    """The values of a setting, in words."""
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(annotation))
    bounds = metadata["bounds"]
    if bounds.low is None and bounds.high is None:
        return ""
    low = "" if bounds.low is None else f"{bounds.low:g} {'<' if bounds.above else '≤'} "
    high = "" if bounds.high is None else f" ≤ {bounds.high:g}"
    return f"{low}x{high}"


def command_pages() -> Pages:
    """The options of every command, from click."""
    found: Pages = {}
    for program, module, command in (
        ("fdsl-gen", "fdsl_gen", "cli"),
        ("fdsl-train", "fdsl_train", "main"),
    ):
        options = {
            "module": f"{module}.cli.main",
            "command": command,
            "prog_name": program,
            "depth": 1,
            "style": "table",
        }
        lines = [f"# {program}", "", "::: mkdocs-click"]
        lines += [f"    :{name}: {value}" for name, value in options.items()]
        found[f"cli/{program}.md"] = "\n".join(lines) + "\n"
    return found


def api_pages() -> Pages:
    """The public names of both packages, from their docstrings."""
    found: Pages = {}
    for package in (fdsl_gen, fdsl_train):
        blocks = [f"# {package.__name__}", str(package.__doc__).strip().splitlines()[0]]
        for name in package.__all__:
            thing = getattr(package, name)
            blocks.append(_API.format(path=f"{thing.__module__}.{name}"))
        found[f"api/{package.__name__}.md"] = "\n\n".join(blocks)
    return found


def example_page(path: Path) -> str:
    """Where the page of an example stands."""
    return f"examples/{path.stem}.md"


def example_pages(folder: Path) -> Pages:
    """Every example as a page; files of one name share it."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.*")):
        if path.suffix not in (".py", ".yaml"):
            continue
        language = path.suffix.removeprefix(".").replace("py", "python")
        language = "yaml" if path.suffix == ".yaml" else "python"
        text = f"`examples/{path.name}`\n\n```{language}\n{path.read_text()}```\n"
        found.setdefault(example_page(path), [f"# {path.stem}\n"]).append(text)
    return {page: "\n".join(parts) for page, parts in found.items()}
