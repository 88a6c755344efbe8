"""Count the hops of four walks through the packages: ``python -m bench.walks [--tree CHECKOUT]``.

A walk is a command, run in a process of its own whose calls are recorded until it has arrived.
Those functions count through whose hands the thing goes, as an argument, a local variable or what
they return: a recipe as its name, as it was read, or as images drawn for it; a seed, keys made from
it and arrays drawn from these; an image, also inside something; a learning rate, also in a
collection. A hop is a step from one file to another; a return, a hop to a file that was left
before. What imports run, lambdas and comprehensions do not count.
"""

import contextlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import click

PACKAGES = ("fdsl_gen", "fdsl_train")
RATE = 0.00123457  # a learning rate that nothing else is
SEED = 20261  # nothing else is
SIDE = 32  # pixels; nothing else has two such sides
TINY = ["--num-categories=4", "--image-size=32", "--num-points=300", "--filling-rate=0.01"]
# What goes through hands, and the function whose call ends the walk.
WALKS = {
    "a recipe's name to bytes in a tar": ("recipe", "finalize"),
    "a seed to a pixel": ("drawn", ""),
    "a shard in a bucket to a batch on the device": ("image", "VisionTransformer.forward"),
    "a flag to the optimizer": ("rate", "Optimizer.__init__"),
}


def is_image(value: object) -> bool:
    """Whether it is an image, encoded, decoded, or several in a batch."""
    if isinstance(value, bytes):
        return value.startswith(b"\x89PNG")
    shape = getattr(value, "shape", ())
    return isinstance(shape, tuple) and list(shape).count(SIDE) == 2


def is_recipe(value: object) -> bool:
    """Whether it is a recipe by name, as read, or as samples that were drawn for it."""
    if isinstance(value, bytes) and value[257:262] == b"ustar":
        return True
    kind = type(value).__qualname__
    return value == "fractal-1" if isinstance(value, str) else kind == "Recipe" or is_image(value)


def is_drawn(value: object) -> bool:
    """Whether it is the seed, a key made from it, or an array drawn from a key."""
    import numpy as np

    if isinstance(value, int):
        return value == SEED
    return isinstance(value, np.ndarray) or type(value).__qualname__ == "Key"


def is_rate(value: object) -> bool:
    """Whether it is the learning rate, as text or as a number."""
    return isinstance(value, str | float) and value in (RATE, str(RATE), f"--lr={RATE}")


def parts_of(value: object) -> Iterator[object]:
    """What a value holds: elements of small collections, and fields of our own classes."""
    if isinstance(value, dict):
        yield from list(value.values())[:60]
    elif isinstance(value, list | tuple):
        yield from value[:60]
    elif type(value).__module__.split(".")[0] in PACKAGES:
        names = [*getattr(value, "__slots__", ()), *getattr(value, "__dict__", ())]
        yield from (getattr(value, name, None) for name in names)


class Recorder:
    """Records functions of the packages, in the order in which they first return."""

    def __init__(self, tree: Path, holds: Callable[[object], bool], goal: str) -> None:
        self.roots = tuple(f"{tree / package}{os.sep}" for package in PACKAGES)
        self.tree, self.holds, self.goal = tree, holds, goal
        self.functions: dict[tuple[str, str], None] = {}
        self.containers: dict[str, None] = {}
        self.yaml_files = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_name == "compose_document":  # once for each YAML text
            self.yaml_files += 1
        if event == "call" and code.co_qualname == self.goal:
            sys.setprofile(None)
            threading.setprofile(None)
            return
        if event != "return" or not code.co_filename.startswith(self.roots):
            return
        if code.co_name.startswith("<") or importing(frame):
            return
        if not self.carries([*frame.f_locals.values(), argument]):
            return
        file = os.path.relpath(code.co_filename, self.tree)
        self.functions.setdefault((file, code.co_qualname))

    def carries(self, values: list[object]) -> bool:
        """Whether one of them is the thing or holds it, in something of ours at most twice."""
        found = False
        for value in values:
            if self.holds(value):
                found = True
                continue
            if self.holds in (is_rate, is_recipe) and not isinstance(value, dict | list | tuple):
                continue  # settings go everywhere
            for part in parts_of(value):
                if self.holds(part) or any(map(self.holds, parts_of(part))):
                    found = True
                    for owner in (value, part):
                        if type(owner).__module__.split(".")[0] in PACKAGES:
                            self.containers.setdefault(type(owner).__qualname__)
        return found

    def report(self) -> dict[str, Any]:
        files = list(dict.fromkeys(file for file, _ in self.functions))
        return {
            "files": files,
            "returns": sum(1 for _ in groupby(file for file, _ in self.functions)) - len(files),
            "functions": [name for _, name in self.functions],
            "containers": list(self.containers),
            "yaml_files": self.yaml_files,
        }


def importing(frame: FrameType | None) -> bool:
    """Whether a call is made by the top level of a module that is being imported."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals["__name__"] != "__main__":
            return True
        frame = frame.f_back
    return False


def run_command(*words: str) -> None:
    """Run ``fdsl-gen`` or ``fdsl-train`` in this process."""
    sys.argv = list(words)
    package = words[0].replace("-", "_")
    with contextlib.suppress(SystemExit):
        runpy.run_module(f"{package}.cli", run_name="__main__", alter_sys=True)


def walk(name: str, folder: Path) -> None:
    """Do what a walk records; ``folder`` has a dataset in ``shards``."""
    shards, out = str(folder / "shards"), str(folder / "out")
    train = ["fdsl-train", "pretrain", "--recipe=cpu-smoke", "--workers=0", "--output", out]
    train += ["--img-size=32", "--batch-size=4", "--warmup-steps=0", f"--lr={RATE}"]
    train += ["--lr-base-batch=none", "--decoded-cache=0", "--depth=1", "--log-every=1"]
    if name == "a recipe's name to bytes in a tar":
        run_command("fdsl-gen", "fractal-1", "--out", out, "--workers=1", *TINY)
    elif name == "a seed to a pixel":
        from fdsl_gen import load_recipe, render

        settings = {"image_size": 32, "num_points": 300, "filling_rate": 0.01}
        render(load_recipe("fractal-1", seed=SEED, **settings), category=0)
    elif name == "a shard in a bucket to a batch on the device":
        place = "s3://walks/set"
        run_command(*train, "--steps=1", "--data", place, "--cache-dir", str(folder / "cache"))
    else:
        run_command(*train, "--steps=1", "--data", shards)


@contextlib.contextmanager
def bucket(folder: Path) -> Iterator[None]:
    """A bucket of a server in this process, with the dataset in it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "k", "AWS_REGION": "us-east-1"}
    os.environ |= keys | {"AWS_ENDPOINT_URL": address, "AWS_DEFAULT_REGION": "us-east-1"}
    boto3.client("s3").create_bucket(Bucket="walks")
    run_command("fdsl-gen", "upload", str(folder / "shards"), "s3://walks/set")
    yield
    server.stop()


def record(name: str, tree: Path) -> dict[str, Any]:
    """What a walk enters, with the packages of ``tree`` first on the path."""
    what, goal = WALKS[name]
    holds = {"recipe": is_recipe, "drawn": is_drawn, "image": is_image, "rate": is_rate}[what]
    recorder = Recorder(tree, holds, goal)
    with tempfile.TemporaryDirectory() as text, contextlib.ExitStack() as stack:
        folder = Path(text)
        if holds in (is_image, is_rate):
            shards = str(folder / "shards")
            run_command("fdsl-gen", "fractal-1", "--out", shards, "--workers=1", *TINY)
        if holds is is_image:
            stack.enter_context(bucket(folder))
        threading.setprofile(recorder)
        sys.setprofile(recorder)
        walk(name, folder)
        sys.setprofile(None)
        threading.setprofile(None)
    return recorder.report()


@click.command()
@click.option("--tree", type=click.Path(path_type=Path), default=".", help="checkout to walk")
@click.option("--only", type=click.Choice(list(WALKS)), hidden=True)
def main(tree: Path, only: str | None) -> None:
    """Print files, returns and functions of the four walks, and what images are inside of."""
    tree = tree.resolve()
    if only is not None:
        found = json.dumps(record(only, tree))
        Path(os.environ["WALK_RESULT"]).write_text(found)
        return
    for name in WALKS:
        with tempfile.NamedTemporaryFile() as result:
            paths = {"PYTHONPATH": str(tree), "WALK_RESULT": result.name}
            # Compiled kernels cannot be seen; uncompiled ones are functions like others.
            environment = os.environ | paths | {"NUMBA_DISABLE_JIT": "1"}
            command = [sys.executable, "-W", "ignore", __file__, "--tree", str(tree)]
            subprocess.run(
                [*command, "--only", name], env=environment, stdout=subprocess.DEVNULL, check=True
            )
            found = json.loads(Path(result.name).read_text())
        click.echo(
            f"{name}: {len(found['files'])} files, {found['returns']} returns,"
            f" {len(found['functions'])} functions; YAML files read: {found['yaml_files']}"
        )
        if WALKS[name][0] == "image":
            click.echo(f"  inside {', '.join(found['containers'])}")
        click.echo("  " + " > ".join(found["files"]))


if __name__ == "__main__":
    main()
