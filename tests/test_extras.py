"""A command without the library it needs names the extra; what is wrong is told before PyTorch."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fdsl_gen.core.extras import EXTRAS, without_library
from tests.documents import ROOT

# Every command in a process that is forked from one that has no such library; of the words "{}"
# is a folder with a dataset and a picture. Processor time, for the machine may be busy.
SCRIPT = """
import json, os, resource, sys
import fdsl_gen.cli.main, fdsl_train.cli.main
from fdsl_gen.cli.__main__ import run as fdsl_gen
from fdsl_train.cli.__main__ import run as fdsl_train

assert "torch" not in sys.modules
found = []
for library, words in json.load(open(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        errors = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(errors, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if library:
            sys.modules[library] = None
        sys.argv = words
        (fdsl_gen if words[0] == "fdsl-gen" else fdsl_train)()
    _, status, used = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    found.append((code, open(sys.argv[2]).read(), used.ru_utime + used.ru_stime))
print(json.dumps(found))
"""

TRAIN = "fdsl-train {} --data {}/shards --output {}/out"
WITHOUT = [
    ("torch", "fdsl-train pretrain --data {}/shards --output {}/out --recipe cpu_smoke"),
    ("timm", "fdsl-train pretrain --data {}/shards --output {}/out --recipe cpu_smoke"),
    ("torch", "fdsl-train finetune --from-scratch --data {}/photos --output {}/o --val-split 0.5"),
    ("wandb", "fdsl-train pretrain --data {}/shards --output {}/out --log-to mlflow,wandb"),
    ("huggingface_hub", "fdsl-train eval hf://OWNER/NAME --data {}/photos"),
    ("torch", "fdsl-train eval {}/photo.png --data {}/photos"),
    ("torch", "fdsl-train knn {}/photo.png --data {}/photos --val-split 0.5"),
    ("torch", "fdsl-train attention {}/photo.png {}/photo.png"),
    ("matplotlib", "fdsl-train plot {}/shards"),
    ("huggingface_hub", "fdsl-gen upload {}/shards hf://datasets/OWNER/NAME"),
    ("obstore", "fdsl-gen status s3://bucket/prefix"),
    ("obstore", "fdsl-gen download s3://bucket/prefix {}/copy"),
    ("obstore", "fdsl-train pretrain --data s3://bucket/prefix --output {}/out --recipe cpu_smoke"),
    ("distributed", "fdsl-gen fractal-1 --out {}/new --executor dask"),
]
WRONG = [
    ("fdsl-train pretrain --output x", "Missing option '--data'"),
    ("fdsl-train pretrain --data nothing --output x", "no such folder: nothing"),
    ("fdsl-train pretrain --data {}/shards --output x --lr -1", "--lr: must be greater than 0"),
    (
        "fdsl-train pretrain --data {}/shards --output x --recipe cpu_smok",
        "no recipe named 'cpu_smok'; did you mean 'cpu-smoke'?",
    ),
    (
        "fdsl-train pretrain --data {}/shards --output x --recipe cpu_smoke --epochs 2 --steps 2",
        "give exactly one of steps and epochs",
    ),
    ("fdsl-train finetune --data {}/photos --output x", "give one of --checkpoint and"),
    ("fdsl-train finetune --checkpoint no --data {}/photos --output x", "no such checkpoint: no"),
    ("fdsl-train finetune --from-scratch --data no --output x", "cannot read the folder no"),
    ("fdsl-train eval nothing --data {}/photos", "no such checkpoint: nothing"),
    ("fdsl-train knn {}/photo.png --data {}/photos --k 0", "Invalid value for '--k'"),
    ("fdsl-train attention nothing {}/photo.png", "no such checkpoint: nothing"),
]


def answers(tmp_path: Path, small_folder: Path, table: list[tuple[str, str]]) -> list[list]:
    """Exit code, errors and seconds of every command."""
    (tmp_path / "shards").symlink_to(small_folder)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    (tmp_path / "photo.png").write_bytes(b"")
    filled = [(lib, line.replace("{}", str(tmp_path)).split()) for lib, line in table]
    (tmp_path / "table.json").write_text(json.dumps(filled))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "table.json", tmp_path / "errors"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_missing_library_is_told_in_one_line(tmp_path, small_folder):
    found = answers(tmp_path, small_folder, WITHOUT)
    for (library, line), (code, said, _) in zip(WITHOUT, found, strict=True):
        assert code == 2, (line, said)
        (sentence,) = said.splitlines()
        extra = EXTRAS[library]
        assert sentence.startswith(f"{line.split()[0]}: "), sentence
        named = "dask" if library == "distributed" else library
        assert f"needs {named}, which is not installed" in sentence, line
        assert sentence.endswith(f'pip install "fdsl[{extra}]"'), sentence


def test_what_is_wrong_is_told_before_pytorch_is_imported(tmp_path, small_folder):
    found = answers(tmp_path, small_folder, [("torch", line) for line, _ in WRONG])
    for (line, sentence), (code, said, seconds) in zip(WRONG, found, strict=True):
        assert code == 2, (line, said)
        assert sentence in said, line
        assert seconds < 1, line


def test_extras_are_those_of_the_package():
    text = (ROOT / "pyproject.toml").read_text()
    for library, extra in EXTRAS.items():
        assert re.search(rf"^{extra} = ", text, re.M), library


@pytest.mark.parametrize("name", [None, "no_such_library"])
def test_other_imports_are_bugs(name):
    assert without_library(ModuleNotFoundError("No module", name=name)) is None
