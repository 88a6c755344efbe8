"""Code in the project's documents, for tests: blocks by language, and the commands in them."""

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
_STARTERS = {"exec", "srun", "torchrun", "mpirun"}
_MODULES = {"fdsl_gen.cli": "fdsl-gen", "fdsl_train.cli": "fdsl-train"}
_SHELL = {"sh", "bash"}
_FENCED = re.compile(
    r"(?:^<!-- not run: (?P<why>.*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.S | re.M
)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        file, line: where it begins.
        language: as written behind its fence; ``indented`` for blocks without one, which hold
            commands that are cut short.
        text: its lines.
        not_run: why no test runs it, from a comment ``<!-- not run: WHY -->`` above it.
    """

    file: Path
    line: int
    language: str
    text: str
    not_run: str = ""

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}"


def blocks(file: Path) -> Iterator[Block]:
    """Blocks of a document: all with a fence, then the indented ones."""
    text = file.read_text()
    for found in _FENCED.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(file, line, found["language"], found["text"], found["why"] or "")
    # Fenced lines become empty, so that lines keep their numbers.
    rest = _FENCED.sub(lambda found: "\n" * found[0].count("\n"), text)
    for found in re.finditer(r"(?<=\n\n)(?: {4}.*\n)+", rest):
        lines = found[0].replace("\n    ", "\n").removeprefix("    ")
        yield Block(file, rest.count("\n", 0, found.start()) + 1, "indented", lines)


def commands_in(script: str, program: str) -> list[list[str]]:
    """The words behind each call of a program in a shell script, without redirections."""
    found = []
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for name in _MODULES.keys() & set(words):
            at = words.index(name)  # behind python -m, or torchrun -m
            words = [*words[: at - 1], _MODULES[name], *words[at + 1 :]]
        if words[:1] and words[0] in _STARTERS:
            words = list(itertools.dropwhile(lambda word: word != program, words))
        if words[:1] == [program]:
            found.append(list(itertools.takewhile(lambda w: w not in {">", "|", "&"}, words[1:])))
    return found


def commands(file: Path, program: str) -> list[list[str]]:
    """Calls of a program that can be typed as they stand: those in shell blocks."""
    scripts = [block.text for block in blocks(file) if block.language in _SHELL]
    return [words for script in scripts for words in commands_in(script, program)]


def mentions(file: Path, program: str) -> list[list[str]]:
    """Calls that may be cut short: those in the prose and in indented blocks."""
    prose = _FENCED.sub("", file.read_text())
    pieces = re.findall(r"`([^`\n]+)`", prose)
    pieces += [block.text for block in blocks(file) if block.language == "indented"]
    found = []
    for piece in pieces:
        if program in piece:
            found += commands_in(piece, program)
    return found
