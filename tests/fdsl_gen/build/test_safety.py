"""What is finished is never lost, what is half-written is never seen, bad input is one sentence."""

import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from fdsl_gen import generate, load_recipe
from fdsl_gen.archive import png, tar
from fdsl_gen.archive.sample import digest_text
from fdsl_gen.core.errors import Mismatch, ShardsFailed, UsageError
from fdsl_gen.dataset import verify
from fdsl_gen.dataset.store import open_for_writing
from fdsl_gen.storage import local
from fdsl_gen.storage.local import LocalStore
from tests.conftest import SMALL, fdsl_gen, options

pytestmark = pytest.mark.slow  # starts processes

# Enough work for a run to be caught in the middle: some seconds.
LARGE = {"image_size": 256, "num_points": 100_000, "num_categories": 1500, "filling_rate": 0.03}
LARGE_SHARDS = 24


@pytest.fixture(scope="module")
def large_tars(tmp_path_factory):
    out = tmp_path_factory.mktemp("large") / "set"
    generate(load_recipe("fractal-1", **LARGE, num_shards=LARGE_SHARDS), out, workers=2)
    return tars(out)


def tars(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.glob("*.tar"))}


def everything(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def expected_files(shards: int) -> set[str]:
    stems = [f"fractal-1-train-{s:06d}" for s in range(shards)]
    files = {"manifest.json", "README.md", "preview.png", "_info.json"}
    files |= {"__meta__/recipe.json", "__meta__/categories/shared.json"}
    files |= {f"{stem}.tar" for stem in stems}
    files |= {f"__meta__/markers/{stem}.json" for stem in stems}
    return files | {f"__meta__/index/{stem}.npy" for stem in stems}


def start(out: Path, workers: int = 2) -> subprocess.Popen:
    command = [sys.executable, "-m", "fdsl_gen.cli", "fractal-1", f"--out={out}"]
    command += [f"--workers={workers}", *options(LARGE | {"num_shards": LARGE_SHARDS})]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(pid: int) -> list[int]:
    """Processes whose parent is ``pid`` and that run a worker of ours."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_text()
        except (OSError, IndexError):
            continue
        if parent == pid and "spawn_main" in command:
            found.append(int(entry.name))
    return found


def wait_for(condition, seconds=240.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def test_killed_worker_costs_nothing(tmp_path, large_tars):
    out = tmp_path / "out"
    process = start(out)
    wait_for(lambda: len(list(out.glob("*.tar"))) >= 3)
    os.kill(wait_for(lambda: children(process.pid))[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "a worker was killed by SIGKILL" in errors
    assert tars(out) == large_tars
    assert everything(out) == expected_files(LARGE_SHARDS)


def test_killed_main_process(tmp_path, large_tars):
    out = tmp_path / "out"
    process = start(out)
    wait_for(lambda: len(list(out.glob("*.tar"))) >= 3)
    workers = wait_for(lambda: children(process.pid))
    process.kill()
    process.communicate()
    killed = time.monotonic()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 5)
    assert time.monotonic() - killed < 5
    finished = tars(out)
    stamps = {p.name: p.stat().st_mtime_ns for p in out.glob("*.tar")}
    assert 3 <= len(finished) < LARGE_SHARDS
    assert not (out / "manifest.json").exists()

    process = start(out)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "were done before" in errors
    assert tars(out) == large_tars
    assert {name: (out / name).stat().st_mtime_ns for name in stamps} == stamps
    assert everything(out) == expected_files(LARGE_SHARDS)


@pytest.mark.parametrize(
    ("sent", "code", "words"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 75, "stopped by SIGTERM")],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_signals_leave_a_clean_folder(tmp_path, sent, code, words, workers):
    out = tmp_path / "out"
    process = start(out, workers)
    wait_for(lambda: len(list(out.glob("*.tar"))) >= 2)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == code, errors
    assert words in errors
    assert "Traceback" not in errors
    assert not list(out.rglob(".*.tmp"))


def test_a_marker_lost_between_two_steps_is_made_again(small, tmp_path):
    """Killed after the shard got its name: the file is read and marked, not written again."""
    out = tmp_path / "out"
    generate(small(), out, workers=1)
    before = {p.name: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    tar = out / "fractal-1-train-000003.tar"
    stamp = tar.stat().st_mtime_ns
    (out / "manifest.json").unlink()
    (out / "__meta__/markers/fractal-1-train-000003.json").unlink()
    (out / "__meta__/index/fractal-1-train-000003.npy").unlink()
    generate(small(), out, workers=1)
    assert tar.stat().st_mtime_ns == stamp
    after = {p.name: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert after.keys() == before.keys()
    for name in after:
        if name != "fractal-1-train-000003.json":  # tells of the run that wrote it
            assert after[name] == before[name], name


def test_a_shard_that_was_cut_is_not_finished(small, tmp_path):
    out = tmp_path / "out"
    generate(small(), out, workers=1)
    tar = out / "fractal-1-train-000003.tar"
    tar.write_bytes(tar.read_bytes()[:-512])
    assert [shard.index for shard in open_for_writing(out).missing()] == [3]


def test_a_strange_file_under_a_final_name_is_not_touched(small, tmp_path):
    out = tmp_path / "out"
    generate(small(), out, workers=1)
    tar = out / "fractal-1-train-000003.tar"
    tar.write_bytes((out / "fractal-1-train-000004.tar").read_bytes())
    (out / "__meta__/markers/fractal-1-train-000003.json").unlink()
    with pytest.raises(ShardsFailed, match="not what belongs there"):
        generate(small(), out, workers=1)
    assert tar.exists()


def limit_file_size():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_write_error_leaves_no_broken_shard(tmp_path, workers):
    """A limit on the size of files stands for a full disk."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "fdsl_gen.cli", "fractal-1", f"--out={out}"]
    command += [f"--workers={workers}", *options(SMALL | {"num_shards": 3})]
    done = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=limit_file_size, timeout=120
    )
    assert done.returncode == 3, done.stderr
    assert "3 shards were not written (fractal-1-train-000000.tar" in done.stderr
    assert "File too large" in done.stderr
    assert "to retry these alone: fdsl-gen fractal-1 --out" in done.stderr
    assert "Traceback" not in done.stderr
    assert everything(out) == {"__meta__/recipe.json", "__meta__/categories/shared.json"}
    assert (
        fdsl_gen("fractal-1", f"--out={out}", *options(SMALL | {"num_shards": 3})).returncode == 0
    )


def test_no_space_is_said_before_the_start(small, tmp_path, monkeypatch):
    recipe = small()
    needed = recipe.estimated_bytes(recipe.num_samples)

    def leave(free):
        found = shutil.disk_usage(tmp_path)._replace(free=free)
        monkeypatch.setattr("fdsl_gen.build.generate.shutil.disk_usage", lambda _: found)

    leave(needed - 1)
    with pytest.raises(ShardsFailed, match=r"not enough space in .*: about [\d.]+ GB are needed"):
        generate(recipe, tmp_path / "out", workers=1)
    assert everything(tmp_path / "out") == {"__meta__/recipe.json"}
    leave(needed)
    generate(recipe, tmp_path / "out", workers=1)


def test_a_name_that_is_taken_by_a_folder_leaves_no_temporary_file(tmp_path):
    (tmp_path / "file" / "below").mkdir(parents=True)
    with pytest.raises(OSError, match="Is a directory"):
        local.write(tmp_path / "file", b"x")
    with pytest.raises(ShardsFailed, match="Is a directory"):
        LocalStore(tmp_path).upload("file", Path(__file__), "")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["pipe", "link"])
def test_a_device_or_a_pipe_is_not_replaced_by_a_file(tmp_path, name, monkeypatch, capsys):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    place = tmp_path / name
    with pytest.raises(OSError, match="it is a device or a pipe"):
        local.write(place, b"x")
    with pytest.raises(ShardsFailed, match="it is a device or a pipe"):
        LocalStore(tmp_path).upload(name, Path(__file__), "")
    asked = ["preview", "fractal-1", "--categories", "1", "--out", place]
    code, errors = run_here(monkeypatch, capsys, *asked)
    assert code == 2, errors
    assert errors.splitlines()[-1].endswith(
        f"cannot write {place}: it is a device or a pipe, give the name of a file"
    )
    assert place.is_fifo() and {path.name for path in tmp_path.iterdir()} == {"pipe", "link"}


def test_another_recipe_is_refused_and_overwrite_replaces_it(small, tmp_path):
    out = tmp_path / "out"
    generate(small(num_shards=8), out, workers=1)
    (out / "notes.txt").write_text("mine")
    (out / "fractal-1-backup.tar").write_text("mine")
    before = tars(out)
    with pytest.raises(UsageError, match=r"belongs to another recipe \(different: variant.delta\)"):
        generate(small(delta=0.2, num_shards=8), out, workers=1)
    assert tars(out) == before
    generate(small(delta=0.2, num_shards=3), out, workers=1, overwrite=True)
    assert everything(out) == expected_files(3) | {"notes.txt", "fractal-1-backup.tar"}


def test_overwrite_does_not_adopt_a_shard_of_the_old_recipe(small, tmp_path):
    out = tmp_path / "out"
    generate(small(), out, workers=1)
    (out / "__meta__/markers/fractal-1-train-000002.json").unlink()
    manifest = generate(small(delta=0.2), out, workers=1, overwrite=True)
    assert manifest == generate(small(delta=0.2), tmp_path / "fresh", workers=1)


def test_a_foreign_folder_is_refused(small, tmp_path):
    (tmp_path / "photo.jpg").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"not empty and not a dataset folder .*photo.jpg"):
            generate(small(), tmp_path, workers=1, overwrite=overwrite)
    assert everything(tmp_path) == {"photo.jpg"}


def copied(folder: Path, to: Path) -> Path:

    return shutil.copytree(folder, to)


def test_verify_finds_every_kind_of_damage(small_folder, tmp_path):
    name = "fractal-1-train-000005.tar"

    def check(folder, *extra):
        done = fdsl_gen("verify", folder, *extra)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr + done.stdout

    assert check(small_folder, "--render", 40) == (
        0,
        f"{small_folder} is intact: 8 shards, 40 samples, 40 drawn again and equal\n",
    )
    flipped = copied(small_folder, tmp_path / "flipped")
    data = bytearray((flipped / name).read_bytes())
    data[700] ^= 4
    (flipped / name).write_bytes(data)
    assert check(flipped) == (
        4,
        f"fdsl-gen: {name} is damaged: its sha256 is not the one in the manifest\n",
    )
    cut = copied(small_folder, tmp_path / "cut")
    (cut / name).write_bytes((cut / name).read_bytes()[:-1])
    code, text = check(cut)
    assert code == 4
    assert f"{name} has " in text
    gone = copied(small_folder, tmp_path / "gone")
    (gone / name).unlink()
    assert check(gone) == (4, f"fdsl-gen: {name} is missing\n")


def test_verify_render_finds_other_pixels(small, small_folder, tmp_path):
    """A dataset that is whole, but not what its recipe draws."""
    folder = copied(small_folder, tmp_path / "other")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["recipe"]["seed"] = 16
    recipe = small(seed=16)
    manifest |= {"identity": recipe.identity, "recipe_digest": recipe.recipe_digest}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    problems = verify.check_pixels(folder, 5, lambda count: None)
    assert len(problems) == 5
    assert all("differs in" in problem for problem in problems)


def changed_shard(folder: Path, change) -> None:
    """Change the members of the first sample; sha256, size and index follow."""
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = manifest["splits"]["train"]["shards"][0]
    path = folder / entry["file"]
    first, *rest = tar.read_samples(path)
    members = dict(first.members)
    change(members)
    samples = [tar.Encoded(first.key, tuple(members.items())), *rest]
    path.write_bytes(b"".join(tar.tar_parts(samples)))
    entry["sha256"] = sha256(path.read_bytes()).hexdigest()
    entry["bytes"] = path.stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))
    index = tar.index_of(samples, list(members))
    (folder / "__meta__" / "index" / f"{path.stem}.npy").write_bytes(tar.index_bytes(index))


def test_verify_render_finds_other_labels(small_folder, tmp_path):
    folder = copied(small_folder, tmp_path / "labels")
    changed_shard(folder, lambda members: members.update(cls=b"39"))
    assert verify.check_files(folder, lambda entry: None) == []
    (problem,) = verify.check_pixels(folder, 40, lambda count: None)
    assert "has the wrong labels [39]" in problem


def test_verify_render_finds_other_masks(tmp_path):
    folder = tmp_path / "masks"
    settings = {"image_size": 32, "num_categories": 5, "num_images": 4, "num_shards": 1}
    generate(load_recipe("segrcdb", **settings), folder, workers=1)

    def spoil(members):
        mask = png.decode(members["mask.png"])
        mask[3, 4] ^= 1
        members["mask.png"] = png.encode(mask, "gray8")

    changed_shard(folder, spoil)
    assert verify.check_files(folder, lambda entry: None) == []
    (problem,) = verify.check_pixels(folder, 4, lambda count: None)
    assert problem.startswith("the mask of sample 0000000") and problem.endswith(" differs")


def test_verify_finds_a_wrong_index_and_a_shard_that_the_manifest_leaves_out(
    small_folder, tmp_path
):
    folder = copied(small_folder, tmp_path / "index")
    path = folder / "__meta__" / "index" / "fractal-1-train-000002.npy"
    index = np.load(path)
    index["png_offset"][1] += 1
    np.save(path, index)
    (problem,) = verify.check_files(folder, lambda entry: None)
    assert "the index of fractal-1-train-000002.tar is damaged" in problem
    lacking = copied(small_folder, tmp_path / "lacking")
    manifest = json.loads((lacking / "manifest.json").read_text())
    gone = manifest["splits"]["train"]["shards"].pop(3)
    manifest["splits"]["train"]["num_samples"] -= gone["samples"]
    left = int(manifest["content_digest"], 16) - int(gone["content_digest"], 16)
    manifest["content_digest"] = digest_text(left)
    manifest["num_classes"] = manifest["splits"]["train"]["num_samples"]
    (lacking / "manifest.json").write_text(json.dumps(manifest))
    problems = verify.check_files(lacking, lambda entry: None)
    assert problems == [
        "manifest.json is damaged: its num_classes is not that of its recipe",
        "fractal-1-train-000003.tar is not in the manifest",
    ]


def test_reading_a_damaged_sample_is_one_sentence(small_folder, tmp_path):
    from fdsl_gen import open_dataset

    folder = copied(small_folder, tmp_path / "damaged")
    tar = folder / "fractal-1-train-000000.tar"
    data = bytearray(tar.read_bytes())
    data[512 + 60] ^= 4  # in the first picture
    tar.write_bytes(data)
    dataset = open_dataset(folder)
    bad = []
    for key in dataset:
        try:
            assert dataset[key].image.shape == (64, 64)
        except Mismatch as error:
            bad.append((key, str(error)))
    assert len(bad) == 1
    assert bad[0][1].startswith(f"fractal-1-train-000000.tar, sample {bad[0][0]}: the checksum")


BAD_COMMANDS = [
    (["fractal-1"], "say where the dataset goes: --out DIR"),
    (["fractal-1", "--out"], "requires an argument"),
    (["fractl-1", "--out=x"], "no command or recipe named 'fractl-1'; did you mean 'fractal-1'?"),
    (["fractal-1", "--out=x", "--dleta=1"], "--delta"),
    (["fractal-1", "--out=x", "--delta=-1"], "fractal-1.variant.delta: must be at least 0, not -1"),
    (["fractal-1", "--out=x", "--delta=nan"], "delta: must be finite, not nan"),
    (["fractal-1", "--out=x", "--delta=.nan"], "delta: must be a number, not '.nan'"),
    (["fractal-1", "--out=x", "--num-categories=0"], "must be at least 1, not 0"),
    (["fractal-1", "--out=x", "--num-categories=1e30"], "must be at most"),
    (["fractal-1", "--out=x", "--num-categories=many"], "must be an integer, not 'many'"),
    (["fractal-1", "--out=x", "--num-instances=2"], "a category of fractal-1 has 1"),
    (["fractal-1", "--out=x", "--workers=0"], "0 is not in the range x>=1"),
    (["fractal-1", "--out=x", "--seed=-1"], "seed: must be at least 0"),
    (["fractal-1", "--out=x", "--encoding=webp"], "must be one of gray8, rgb8, compact"),
    (["fractal-1", "--out=x", "--base=[1"], "line 1"),
    (["fractal-1", "--out=x", "--sigma-factor=6.5"], "between 0 and 6"),
    (["fractal-1", "--out=FILE"], "is a file, not a folder"),
    (["fractal-1", "--out=/proc/nowhere"], "cannot write into /proc/nowhere"),
    (["fractal-1", "--out=x", "--num-points=10", "--image-size=64"], "at most 90 of 4,096"),
    (["run", "nowhere.yaml", "--out=x"], "cannot read nowhere.yaml: No such file or directory"),
    (["run"], "Missing argument 'RECIPE'"),
    (["show", "nothing"], "no recipe named 'nothing'"),
    (["preview", "fractal-1", "--out=/proc/a.png"], "cannot write /proc/a.png"),
    (["preview", "fractal-1", "--categories=0"], "0 is not in the range"),
    (["status", "nowhere"], "nowhere does not exist"),
    (["status", "FILE"], "is not a dataset folder"),
    (["finalize", "nowhere"], "nowhere does not exist"),
    (["verify", "nowhere"], "no such folder: nowhere"),
    (["verify", "FILE"], "FILE"),
    (["export", "nowhere", "--imagefolder=x"], "no such folder: nowhere"),
    (["cite", "nothing"], "no recipe named 'nothing'"),
]


@pytest.mark.parametrize(("command", "words"), BAD_COMMANDS)
def test_bad_input_is_one_sentence(tmp_path, command, words):
    (tmp_path / "FILE").write_text("x")
    done = fdsl_gen(*command, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert words in lines[-1]
    assert lines[-1].startswith("fdsl-gen: ")
    assert len([line for line in lines if line.startswith("fdsl-gen")]) == 1
    assert "Traceback" not in done.stderr
    assert everything(tmp_path) <= {"FILE", "x/__meta__/recipe.json"}


def test_a_task_that_kills_every_worker_is_given_up(tmp_path):
    from fdsl_gen.executors import Silent
    from fdsl_gen.executors.local import LocalExecutor
    from tests.fdsl_gen.executors.tasks import touch_or_die

    tasks = [(tmp_path, n) for n in range(6)]
    failures = LocalExecutor(2).run(touch_or_die, tasks, Silent())
    assert [failure.task[1] for failure in failures] == [3]
    assert failures[0].reason == (
        "its worker was killed by SIGKILL (out of memory?), 3 times in a row"
    )
    assert {p.name for p in tmp_path.iterdir()} == {"0", "1", "2", "4", "5", "died 3"}
    assert (tmp_path / "died 3").read_text() == "xxx"


def test_an_exception_in_a_task_is_told_with_its_place(tmp_path):
    from fdsl_gen.executors import Silent
    from fdsl_gen.executors.local import LocalExecutor
    from fdsl_gen.executors.serial import SerialExecutor
    from tests.fdsl_gen.executors.tasks import divide

    for executor in (SerialExecutor(), LocalExecutor(2)):
        failures = executor.run(divide, [1, 0, 2], Silent())
        assert [(f.task, f.reason.split(",")[0]) for f in failures] == [
            (0, "ZeroDivisionError in divide")
        ]


def test_a_script_needs_no_guard(tmp_path):
    """Spawned workers must not run the caller's script again."""
    script = tmp_path / "script.py"
    script.write_text(
        "from fdsl_gen import generate, load_recipe\n"
        f"recipe = load_recipe('fractal-1', **{SMALL!r})\n"
        f"manifest = generate(recipe, {str(tmp_path / 'set')!r}, workers=2)\n"
        "print('digest', manifest.content_digest)\n"
    )
    for command in ([sys.executable, str(script)], [sys.executable, "-"]):
        done = subprocess.run(
            command, input=script.read_text(), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("digest") == 1
        assert done.stderr == ""


def test_workers_that_cannot_start_are_told_once(tmp_path, monkeypatch, capfd):
    from fdsl_gen.executors import Silent, local
    from tests.fdsl_gen.executors.tasks import CannotBeReceived

    failures = local.LocalExecutor(2).run(CannotBeReceived(), [1, 2, 3, 4], Silent())
    assert {failure.task for failure in failures} == {1, 2, 3, 4}
    assert {failure.reason for failure in failures} == {
        "its worker ended with exit code 1 before it could begin"
    }
    assert capfd.readouterr().err.count("Traceback") <= 4


def full_at(monkeypatch, name):
    """From now on the disk is full when a file of that name is written."""
    fsync = os.fsync

    def full(handle):
        if name in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)


def run_here(monkeypatch, capsys, *command):
    """Exit code and errors of ``fdsl-gen`` in this process."""
    from fdsl_gen.cli.main import main

    monkeypatch.setattr(sys, "argv", ["fdsl-gen", *map(str, command)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize("name", ["shared.json", "README.md", "preview.png", "manifest.json"])
def test_a_full_disk_in_warm_up_and_finalize(tmp_path, small_folder, name, monkeypatch, capsys):
    out = tmp_path / "out"
    command = ["fractal-1", f"--out={out}", "--workers=1", *options(SMALL)]
    with monkeypatch.context() as patch:
        full_at(patch, name)
        code, errors = run_here(patch, capsys, *command)
    assert code == 3, errors
    assert "Traceback" not in errors
    last = errors.splitlines()[-1]
    assert re.search(rf"{name}: No space left on device; .* the same command goes on", last)
    assert not list(out.rglob(".*.tmp"))
    assert run_here(monkeypatch, capsys, *command)[0] == 0
    assert tars(out) == tars(small_folder)


def test_a_full_disk_in_other_commands(tmp_path, small_folder, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("fdsl_gen.dataset.export.write_once", full)
    full_at(monkeypatch, "preview.png")
    out = tmp_path / "tree"
    for command, name in (
        (["export", small_folder, "--imagefolder", out], out),
        (["preview", "fractal-1", "--out", tmp_path / "preview.png"], tmp_path / "preview.png"),
    ):
        code, errors = run_here(monkeypatch, capsys, *command)
        assert code == 3, errors
        assert f"cannot use {name}: No space left on device" in errors.splitlines()[-1]


@pytest.mark.parametrize("moment", ["render_shard", "finalize"])
def test_a_folder_that_is_deleted_under_a_run(tmp_path, moment, monkeypatch, capsys):
    from fdsl_gen.build import generate as build

    out = tmp_path / "out"
    command = ["fractal-1", f"--out={out}", "--workers=1", *options(SMALL)]
    original = getattr(build, moment)

    def delete(*args):
        shutil.rmtree(out)
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(build, moment, delete)
        code, errors = run_here(patch, capsys, *command)
    assert code == 3, errors
    assert "Traceback" not in errors
    assert str(out) in errors.splitlines()[-1]
    assert run_here(monkeypatch, capsys, *command)[0] == 0, "nothing was left in the way"
