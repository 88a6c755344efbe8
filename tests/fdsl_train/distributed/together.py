"""Ways to run several training processes on this machine, meeting over gloo."""

import socket
import subprocess
import sys
from pathlib import Path

from tests.fdsl_train.conftest import environment


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start_all(arguments: list[str], world_size: int) -> "list[subprocess.Popen[str]]":
    """Start ``python *arguments`` as each of ``world_size`` processes, as torchrun would."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env=environment()
            | {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(world_size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world_size)
    ]


def finish(processes: "list[subprocess.Popen[str]]") -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each."""
    done = []
    for process in processes:
        out, err = process.communicate(timeout=240)
        done.append((process.returncode, out, err))
    return done


def train_together(*arguments: str | Path, world_size: int = 2) -> list[tuple[int, str, str]]:
    """Run ``fdsl-train`` as several processes."""
    words = ["-m", "fdsl_train.cli", *map(str, arguments)]
    return finish(start_all(words, world_size))


def main() -> None:
    """Write the global batches that the processes of this run see: DATA RECIPE OUT WORKERS..."""
    import numpy as np
    import torch

    from fdsl_train.config import load_config
    from fdsl_train.data.loader import Loader
    from fdsl_train.data.sources.base import num_samples, order_of
    from fdsl_train.data.sources.shards import open_split, read_dataset
    from fdsl_train.distributed.group import process_group
    from fdsl_train.distributed.launch import find_process
    from fdsl_train.transforms import transform_for_training

    data, recipe, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    source = open_split(data, read_dataset(data), "train")
    config = load_config(recipe, "pretrain", {}).resolve(num_samples(source))
    process = find_process()
    with process_group(process, torch.device("cpu")) as group:
        for workers in map(int, sys.argv[4:]):
            loader = Loader(
                source,
                order_of(
                    source,
                    seed=config.seed,
                    batch_size=config.global_batch_size,
                    repeats=config.aug_repeats,
                ),
                transform_for_training(config),
                seed=config.seed,
                batches=range(config.steps),
                workers=workers,
                rank=process.rank,
                world_size=process.world_size,
            )
            whole = []
            for images, labels, _ in loader:
                shares = zip(group.gather(images), group.gather(labels), strict=True)
                pairs = [(im.numpy(), la.numpy()) for im, la in shares]
                # place k of the batch is place k // R of the share of process k % R
                whole.append(
                    [
                        np.stack(part, 1).reshape(-1, *part[0].shape[1:])
                        for part in zip(*pairs, strict=True)
                    ]
                )
            if group.is_main:
                images, labels = (np.stack(part) for part in zip(*whole, strict=True))
                np.savez(out / f"{process.world_size}x{workers}.npz", images=images, labels=labels)


if __name__ == "__main__":
    main()
