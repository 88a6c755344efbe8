"""The table of mutants: ``*.yaml`` beside this file, one mutant an entry.

    name-of-the-mutant:
      breaks: what goes wrong, one line
      file: fdsl_gen/module.py
      text: |-
        code that stands exactly once in the file
      replacement: |-
        what takes its place
      tests: [tests/test_module.py::test_that_must_fail]

The first line of a text is given without its indentation, further lines with all of it.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests import ROOT

TABLES = sorted(Path(__file__).parent.glob("*.yaml"))


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A wrong change, and the tests that must notice it."""

    name: str
    breaks: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]

    def complaint(self, root: Path = ROOT) -> str | None:
        """Why the mutant cannot be applied to a checkout, or None."""
        path = root / self.file
        if not path.is_file():
            return f"there is no file {self.file}"
        count = path.read_text().count(self.text)
        if count != 1:
            return f"its text stands {count} times in {self.file}"
        changed = path.read_text().replace(self.text, self.replacement)
        try:
            ast.parse(changed)
        except SyntaxError as error:
            return f"the changed file is not Python: {error}"
        for test in self.tests:
            file, _, name = test.partition("::")
            if not (root / file).is_file():
                return f"there is no file {file}"
            function = name.rpartition("::")[2].partition("[")[0]
            if name and not re.search(rf"\bdef {function}\(", (root / file).read_text()):
                return f"there is no test {test}"
        return None


def read_table() -> list[Mutant]:
    """All mutants, in the order of the files."""
    mutants = []
    for path in TABLES:
        for name, entry in yaml.safe_load(path.read_text()).items():
            tests = tuple(entry.pop("tests"))
            mutants.append(Mutant(name=name, tests=tests, **entry))
    return mutants
