"""The commands of README and docs run as they stand, one after the other, made small by further
options."""

import dataclasses
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fdsl_gen import load_recipe
from fdsl_gen.cli.main import cli
from fdsl_gen.core.errors import UsageError
from fdsl_train.cli.main import main
from tests.documents import DOCUMENTS, ROOT, Block, blocks, commands_in
from tests.test_docs import prepared, trained  # noqa: F401  # fixtures

PROGRAMS = {"fdsl-gen": cli, "fdsl-train": main}

# What is put behind a command of fdsl-train; the last of equal options holds.
TINY = ["--workers=0", "--steps=1", "--warmup-steps=0", "--decoded-cache=0"]
TINY += ["--global-batch-size=8"]
SMALLER = {
    "pretrain": TINY,
    "finetune": TINY,
    "eval": ["--workers=0"],
    "knn": ["--workers=0", "--k=3"],
    "verify": ["--render=2"],
    "report": ["--samples=8"],
}
# The same for fdsl-gen, of those settings that the recipe has.
SMALL = {"image_size": 64, "num_points": 3000, "filling_rate": 0.01, "num_objects": 3}
FEW = ["--num-categories=16", "--workers=1"]
SCENES = ["--num-images=16", "--validation-instances=4", "--workers=1"]

# Why a command does not run here, by what is in it.
ELSEWHERE = {
    "s3://": "needs a bucket; tests/fdsl_gen/storage and tests/fdsl_train/data/storage have one",
    "hf://": "needs the network",
    "torch/": "downloads CIFAR-100",
    "..0001": "needs 147 tars; tests/fdsl_train/data/test_webdataset.py reads some",
    "imagenet": "needs ImageNet; tests/fdsl_train/training runs the recipe with other images",
    "-cifar100": "its run needs CIFAR-100",
    "runs/visualatom-1k --out": "plots that run",
    "ADEChallengeData2016": "needs ADE20k",
    "--recipe segrcdb": "Swin-B, for GPUs",
    "--model resnet50": "for GPUs; tests/test_detection.py runs the example with another model",
    "explore": "waits for its user; tests/fdsl_gen/explore",
    "fdsl-gen estimate": "measures for seconds; tests/fdsl_gen/build/test_estimate.py",
    "wandb": "needs it; tests/fdsl_train/training/test_tracking.py",
    "trial": "takes minutes; tests/fdsl_train/trial",
    "$": "of job scripts; tests/test_scale_doc.py",
    "/shared/": "of clusters; tests/test_scale_doc.py and tests/fdsl_gen/executors",
}
# Lines of other programs.
OTHERS = {
    "make": "targets are looked up in test_docs.py",
    "pip": "installs",
    "python": "experiments and examples have tests of their own",
    "dask": "tests/fdsl_gen/executors start it",
    **dict.fromkeys(("sbatch", "srun"), "needs SLURM"),
    **dict.fromkeys(("set", "export", "kill", "exit"), "of job scripts"),
    **dict.fromkeys(("search", "render", "FILE", "status"), "assignments of job scripts"),
}


def lines() -> Iterator[tuple[Block, str]]:
    """All lines of shell blocks, README first."""
    for file in sorted(DOCUMENTS, key=lambda file: file.parent != ROOT):
        for block in blocks(file):
            if block.language in {"sh", "bash"}:
                for typed in block.text.replace("\\\n", " ").splitlines():
                    line = re.sub(r"^(?:\w+=\S+ +)+(?=\w)", "", typed)  # without variables
                    if shlex.split(line, comments=True):
                        yield block, line


def script(file: Path) -> list[tuple[str, list[str]]]:
    """Programs and words of the commands of a document that can run here, each once, in order."""
    found: list[tuple[str, list[str]]] = []
    for block, line in lines():
        for program in PROGRAMS if block.file == file else ():
            for words in commands_in(line, program):
                elsewhere = any(part in shlex.join([program, *words]) for part in ELSEWHERE)
                if not elsewhere and (program, words) not in found:
                    found.append((program, words))
    return found


def smaller(words: list[str]) -> list[str]:
    """What is put behind a command so that it takes a second."""
    name = words[1] if words[0] in {"preview", "run"} else words[0]
    if name in SMALLER:
        more = list(SMALLER[name])
        if name in {"pretrain", "finetune"} and not re.search("--recipe.cpu", shlex.join(words)):
            more.append("--recipe=cpu-smoke" if name == "pretrain" else "--recipe=cpu-finetune")
        if name == "pretrain" and "cpu-segment" not in words:
            more += ["--num-heads=2", "--embed-dim=16", "--depth=1"]
        if "--corrupt" in words:
            more.append("--corrupt=fog:1")
        return more
    try:
        recipe = load_recipe(name)
    except UsageError:  # it is no recipe
        return []
    settings = {field.name for field in dataclasses.fields(recipe.variant)}
    found = [f"--{k}={v}".replace("_", "-") for k, v in SMALL.items() if k in settings]
    if words[0] == "preview":
        return [*found, "--categories=2", "--columns=2"]
    if recipe.variant.SCENE:
        return [*found, *SCENES]
    return [*found, *FEW, *(["--num-instances=2"] if recipe.num_instances > 1 else [])]


def output_of(words: list[str]) -> Path | None:
    """The folder that a command makes."""
    for flag in ("--out", "--output"):
        if flag in words:
            return Path(words[words.index(flag) + 1])
    return None


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize(
    "file", [file for file in DOCUMENTS if script(file)], ids=lambda file: file.name
)
def test_the_commands_of_a_document_run(file, trained, tmp_path, monkeypatch):  # noqa: F811
    here = tmp_path / "here"
    shutil.copytree(trained, here)
    monkeypatch.chdir(here)
    if file.name == "howto-pictures.md":  # its folders of classes have no parts
        shutil.move("photos/train", "flat")
        shutil.rmtree("photos")
        shutil.move("flat", "photos")
    Path("cifar100").symlink_to("photos")
    for program, words in script(file):
        made = output_of(words)
        if made is not None and made.is_dir():
            shutil.rmtree(made)
        typed = [*words, *smaller(words)]
        result = CliRunner().invoke(PROGRAMS[program], typed)
        assert result.exit_code == 0, (program, typed, result.output, result.exception)
        assert made is None or made.exists(), (program, typed)


def test_most_documents_are_run():
    run = [words[0] for file in DOCUMENTS for _, words in script(file)]
    assert len(run) > 40
    assert {"fractal-1", "verify", "preview", "pretrain", "finetune", "eval", "table"} <= set(run)


def test_what_does_not_run_is_listed():
    """Every line is run or has a reason, and no reason is left over."""
    used = set()
    for _, line in lines():
        first = re.split(r"[\s=]", line.strip(), maxsplit=1)[0]
        ours = [words for program in PROGRAMS for words in commands_in(line, program)]
        assert ours or first in OTHERS, line
        used |= {part for part in ELSEWHERE if ours and part in line}
    assert used == set(ELSEWHERE)
