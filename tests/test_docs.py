"""What the documents show works: examples run, commands can be typed, names are there."""

import ast
import doctest
import importlib.util
import inspect
import re
import shlex
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import fdsl_gen
import fdsl_train
from fdsl_gen.cli.main import cli
from fdsl_gen.core import recipe_files
from fdsl_train.cli.main import main
from fdsl_train.config import training_recipes
from tests import ROOT, test_rules
from tests.documents import DOCUMENTS, Block, blocks, commands, mentions
from tests.fdsl_train.scenes import write_scenes

PROGRAMS = {"fdsl-gen": cli, "fdsl-train": main}
REASONS = {"needs a GPU", "needs the network", "takes hours"}
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def python_blocks() -> list[Block]:
    return [b for file in DOCUMENTS for b in blocks(file) if b.language == "python"]


def as_script(package, examples: list[doctest.Example]) -> str:
    """Examples of a docstring; what one must give is asserted."""
    lines = [f"from {package.__name__} import *\n"]
    for example in examples:
        value = example.source.rstrip("\n")
        wanted = example.want.rstrip("\n")
        lines.append(f"assert repr({value}) == {wanted!r}\n" if wanted else example.source)
    return "".join(lines)


def docstring_examples() -> list[Block]:
    """Lines behind ``>>>`` in docstrings of both packages, those of one docstring together."""
    found = []
    for package in (fdsl_gen, fdsl_train):
        for file in sorted(Path(package.__file__).parent.rglob("*.py")):
            if ">>>" not in file.read_text():
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    continue
                parsed = doctest.DocTestParser().get_examples(ast.get_docstring(node) or "")
                if parsed:
                    line = getattr(node, "lineno", 1)
                    found.append(Block(file, line, "python", as_script(package, parsed)))
    return found


def needs_training(example: Block) -> bool:
    return bool(re.search(r"\b(?:fdsl_train|timm|torch)\b", example.text))


def outputs(example: Block) -> set[str]:
    """Folders that an example makes, which must not be there before it."""
    calls = [node for node in ast.walk(ast.parse(example.text)) if isinstance(node, ast.Call)]
    return {
        str(ast.literal_eval(call.args[1]))
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in {"generate", "pretrain", "finetune"}
    }


def photo(rng: np.random.Generator, label: int) -> Image.Image:
    """A picture of 64 x 64 pixels, brighter with its label."""
    return Image.fromarray(rng.integers(0, 60 + 60 * label, (64, 64, 3)).astype(np.uint8))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """A folder with what examples take for granted: a dataset, photos, a recipe of one's own."""
    folder = tmp_path_factory.mktemp("prepared")
    recipe = fdsl_gen.load_recipe("fractal-1", num_categories=64, image_size=64, num_points=3000)
    fdsl_gen.generate(recipe, folder / "shards", workers=1)
    rng = np.random.default_rng(0)
    for split, count in (("train", 32), ("val", 8)):
        for label, name in enumerate(("cat", "dog", "owl")):
            path = folder / "photos" / split / name
            path.mkdir(parents=True)
            for i in range(count):
                photo(rng, label).save(path / f"{i}.png")
    photo(rng, 1).save(folder / "photo.jpg")
    shown = CliRunner().invoke(cli, ["show", "fractal-1"])
    (folder / "mine.yaml").write_text(shown.output)
    return folder


@pytest.fixture(scope="session")
def trained(prepared) -> Path:
    """The same with finished runs ``runs/smoke``, ``runs/photos`` and ``runs/scenes``."""
    runs = prepared / "runs"
    tiny = {"workers": 0, "decoded_cache": 0}
    run = fdsl_train.pretrain(
        prepared / "shards", runs / "smoke", recipe="cpu_smoke", epochs=20, **tiny
    )
    fdsl_train.finetune(
        prepared / "photos",
        runs / "photos",
        checkpoint=run.export,
        recipe="cpu_finetune",
        epochs=2,
        **tiny,
    )
    fdsl_train.finetune(
        write_scenes(prepared / "scenes"),
        runs / "scenes",
        checkpoint=run.export,
        recipe="cpu_segment_finetune",
        decoder="linear",
        steps=1,
        warmup_steps=0,
        **tiny,
    )
    return prepared


def run_example(example: Block, folder: Path, tmp_path: Path, monkeypatch) -> None:
    """Run an example in a copy of a folder."""
    copy = tmp_path / "here"
    shutil.copytree(folder, copy)
    monkeypatch.chdir(copy)
    for output in outputs(example):
        shutil.rmtree(output, ignore_errors=True)
    # Lines of the example keep their numbers in a traceback.
    code = compile("\n" * (example.line - 1) + example.text, str(example.file), "exec")
    exec(code, {"__name__": "example"})


EXAMPLES = [example for example in [*python_blocks(), *docstring_examples()] if not example.not_run]


@pytest.mark.parametrize("example", [e for e in EXAMPLES if not needs_training(e)], ids=str)
def test_examples_of_the_generator_run(example, prepared, tmp_path, monkeypatch):
    run_example(example, prepared, tmp_path, monkeypatch)


@pytest.mark.train
@pytest.mark.parametrize("example", [e for e in EXAMPLES if needs_training(e)], ids=str)
def test_examples_of_training_run(example, trained, tmp_path, monkeypatch):
    run_example(example, trained, tmp_path, monkeypatch)


def test_the_examples_are_found():
    both = {needs_training(example) for example in python_blocks()}
    assert both == {False, True}
    assert sum(needs_training(example) for example in docstring_examples()) >= 6


def test_what_is_not_run_says_why():
    assert {block.not_run for file in DOCUMENTS for block in blocks(file)} - {""} <= REASONS


def typed(find) -> list:
    """Commands of all documents: program and words."""
    return [
        pytest.param(program, words, id=f"{file.name}: {shlex.join([program, *words])}")
        for file in DOCUMENTS
        for program in PROGRAMS
        for words in find(file, program)
    ]


@pytest.mark.parametrize(("program", "words"), typed(commands))
def test_commands_can_be_typed(program, words, prepared, monkeypatch):
    """All options are known, all values possible, nothing is missing."""
    monkeypatch.chdir(prepared)
    group = PROGRAMS[program]
    parent = click.Context(group, info_name=program)
    command = group.get_command(parent, words[0])
    assert command is not None, words[0]
    if command.ignore_unknown_options:  # it hands them on to a command of its own
        assert_options_are_known(program, words)
    else:
        command.make_context(words[0], words[1:], parent=parent)


@pytest.mark.parametrize(("program", "words"), typed(mentions))
def test_options_of_commands_in_prose_are_known(program, words, prepared, monkeypatch):
    monkeypatch.chdir(prepared)
    assert_options_are_known(program, words)


def assert_options_are_known(program: str, words: list[str]) -> None:
    words = ["fractal-1" if word == "NAME" else word for word in words]
    done = CliRunner().invoke(PROGRAMS[program], [*words, "--help"])
    assert done.exit_code == 0, done.output or done.exception


def test_commands_are_found():
    for program in PROGRAMS:
        assert len({tuple(words) for file in DOCUMENTS for words in commands(file, program)}) > 10


def test_recipes_are_spelt_one_way():
    """Underscores are understood, but not shown."""
    for name in recipe_files.recipe_names(training_recipes()):
        if "-" in name:
            for file in DOCUMENTS:
                assert not re.search(rf"\b{name.replace('-', '_')}\b", file.read_text()), (
                    file,
                    name,
                )


def test_an_unknown_option_is_noticed():
    with pytest.raises(AssertionError):
        assert_options_are_known("fdsl-gen", ["preview", "fractal-1", "--wrong", "1"])


def test_targets_of_make_and_modules_are_there():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    for file in DOCUMENTS:
        for words in [*commands(file, "make"), *mentions(file, "make")]:
            for word in words:
                assert "=" in word or word in targets, f"{file.name}: make {word}"
        for module in re.findall(r"python -m ([\w.]+)", file.read_text()):
            assert importlib.util.find_spec(module), f"{file.name}: {module}"


def test_links_lead_somewhere():
    for file in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


@pytest.mark.parametrize("package", [fdsl_gen, fdsl_train], ids=lambda p: p.__name__)
def test_public_names_stand_in_one_list(package):
    assert package.__all__ == sorted(package.__all__)
    assert {*package.__all__, "__version__"} == set(dir(package))
    readme = "".join(re.findall(r"```python.*?```|`\w+`", README, re.S))
    for name in package.__all__:
        assert inspect.getdoc(getattr(package, name)), name
        assert re.search(rf"\b{name}\b", readme), name


def public_functions() -> list:
    both = [getattr(package, n) for package in (fdsl_gen, fdsl_train) for n in package.__all__]
    return [value for value in both if inspect.isfunction(value)]


@pytest.mark.parametrize("function", public_functions(), ids=lambda f: f.__qualname__)
def test_public_functions_explain_what_they_take_and_give(function):
    doc = inspect.getdoc(function)
    _, _, rest = doc.partition("\nArgs:\n")
    for name in inspect.signature(function).parameters:
        assert re.search(rf"^    (?:\w+, )*{name}(?:, \w+)*: ", rest, re.M), name
    assert "\nReturns:\n" in rest
    assert "\nRaises:\n" in rest


def test_the_tree_of_architecture_is_whole():
    text = (ROOT / "docs/architecture.md").read_text()
    tree = re.search(r"```\n(fdsl_gen/.*?)```", text, re.S)[1]
    for package in (fdsl_gen, fdsl_train):
        folder = Path(package.__file__).parent
        _, _, part = tree.partition(f"{folder.name}/ ")
        shown = re.findall(r"^  (\w+)/", part.partition("\nfdsl_")[0], re.M)
        assert set(shown) == {path.parent.name for path in folder.glob("*/__init__.py")}
        if package is fdsl_gen:
            assert shown == test_rules.ORDER


def test_files_named_in_architecture_are_there():
    text = (ROOT / "docs/architecture.md").read_text()
    walks = text[text.index("## Four walks") : text.index("## Order")]
    for name in re.findall(r"[\w/]+\.py|\w+/\w+/(?=\s)", walks):
        found = [ROOT / package / name for package in ("fdsl_gen", "fdsl_train")]
        assert any(path.exists() for path in found), name
