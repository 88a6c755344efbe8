"""Names that cannot be those of a file or folder, in every command that takes one."""

import shutil
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fdsl_gen.cli import main as gen
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.path_names import check_path
from fdsl_gen.storage import local
from fdsl_train.cli.main import main as train


def run_gen(arguments, capsys, monkeypatch):
    """``fdsl-gen`` in this process: its exit code and what it wrote to stderr."""
    monkeypatch.setattr(sys, "argv", ["fdsl-gen", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        gen.main()
    return ended.value.code, capsys.readouterr().err


def run_train(arguments, capsys, monkeypatch):
    """``fdsl-train`` in this process."""
    result = CliRunner().invoke(train, [*map(str, arguments)])
    return result.exit_code, result.stderr


GEN = [
    ["fractal-1", "--out", "BAD"],
    ["fractal-1", "--out", "GOOD", "--tmp-dir", "BAD"],
    ["fractal-1", "--out", "GOOD", "--scheduler-file", "BAD"],
    ["run", "fractal-1", "--out", "BAD"],
    ["preview", "fractal-1", "--out", "BAD"],
    ["categories", "fractaldb-1k", "--out", "BAD"],
    ["categories", "fractaldb-1k", "--table", "BAD"],
    ["categories", "fractaldb-1k", "--picture", "BAD"],
    ["status", "BAD"],
    ["finalize", "BAD"],
    ["verify", "BAD"],
    ["export", "BAD", "--imagefolder", "GOOD"],
    ["export", "GOOD", "--imagefolder", "BAD"],
    ["upload", "BAD", "s3://bucket/set"],
    ["download", "s3://bucket/set", "BAD"],
]
TRAIN = [
    ["pretrain", "--data", "BAD", "--output", "GOOD"],
    ["pretrain", "--data", "GOOD", "--output", "BAD"],
    ["pretrain", "--data", "s3://bucket/set", "--output", "GOOD", "--cache-dir", "BAD"],
    ["finetune", "--checkpoint", "BAD", "--data", "GOOD", "--output", "GOOD"],
    ["finetune", "--from-scratch", "--data", "GOOD", "--output", "BAD"],
    ["eval", "BAD", "--data", "GOOD"],
    ["eval", "GOOD", "--data", "BAD"],
    ["eval", "GOOD", "--data", "torch/digits", "--data-dir", "BAD"],
    ["eval", "GOOD", "--data", "GOOD", "--report", "BAD"],
    ["eval", "GOOD", "--data", "GOOD", "--confusion", "BAD"],
    ["knn", "BAD", "--data", "GOOD"],
    ["plot", "BAD"],
    ["plot", "GOOD", "--out", "BAD"],
    ["attention", "BAD", "GOOD"],
    ["attention", "GOOD", "BAD"],
    ["attention", "GOOD", "GOOD", "--out", "BAD"],
]
NAMES = {
    "empty": ("", "is empty"),
    "long": ("x" * 256, "too long"),
    "deep": ("x/" * 2500, "too long"),
    "dangling": ("dangling", "which is not there"),
    "below a dangling link": ("dangling/inside", "which is not there"),
}


@pytest.mark.parametrize("command", [*GEN, *TRAIN], ids=" ".join)
def test_every_command_refuses_names_that_cannot_be(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("dangling").symlink_to("nowhere")
    run = run_gen if command in GEN else run_train
    for bad, words in NAMES.values():
        code, said = run([{"BAD": bad}.get(word, word) for word in command], capsys, monkeypatch)
        assert (code, said.count("\n")) == (2, 1), said
        assert words in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling"]


def _takes_a_path(parameter: click.Parameter) -> bool:
    return parameter.name in {
        "out", "tmp_dir", "scheduler_file", "table", "picture", "folder", "output", "checkpoint",
        "cache_dir", "data", "data_dir", "report", "confusion", "runs", "images",
    }  # fmt: skip


def test_no_command_takes_a_path_that_is_not_checked():
    """An option or argument of click's own type of paths would be one."""
    commands = [*gen.cli.commands.values(), *train.commands.values()]
    assert not [
        (command.name, parameter.name)
        for command in commands
        for parameter in command.params
        if isinstance(parameter.type, click.Path)
    ]
    assert sum(_takes_a_path(p) for command in commands for p in command.params) > 15


def test_odd_names_are_not_refused(tmp_path):
    for name in ("x" * 255, "-x", " ", "a\nb", "s3"):
        assert check_path(tmp_path / name) == tmp_path / name
    (tmp_path / "to").mkdir()
    (tmp_path / "link").symlink_to("to")
    assert check_path(tmp_path / "link" / "new") == tmp_path / "link" / "new"
    with pytest.raises(UsageError, match="cannot be the name"):
        check_path("a\0b")


def test_a_folder_named_like_a_temporary_file_stays(small_folder, tmp_path):
    name = f".x.tar.{local._HOST}.999999999-1.tmp"
    (tmp_path / name).mkdir()
    (tmp_path / f"{name[:-5]}2.tmp").write_text("left")
    assert local.sweep(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "refusing"),
    [
        ("__meta__/recipe.json", {"status", "finalize", "verify"}),
        ("manifest.json", {"finalize", "verify"}),
        ("README.md", {"finalize"}),
    ],
)
def test_a_folder_where_a_file_belongs_is_a_sentence(
    name, refusing, small_folder, tmp_path, capsys, monkeypatch
):
    folder = shutil.copytree(small_folder, tmp_path / "set")
    (folder / name).unlink()
    (folder / name).mkdir()
    for command in ("status", "finalize", "verify"):
        code, said = run_gen([command, folder], capsys, monkeypatch)
        assert code == (2 if command in refusing else 0), said
        assert (Path(name).name in said, said.count("\n")) == (code == 2, code == 2)
