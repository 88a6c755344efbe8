"""Try the claims and write docs/hypotheses.md: ``python -m experiments.hypotheses``."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import as_completed
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.__main__ import machine
from experiments.command import page_options, told
from experiments.hypotheses.measure import Trial
from experiments.hypotheses.pictures import draw_claim, draw_gains
from experiments.hypotheses.plan import PLAN, SCRATCH, Claim, Plan, Scale, images_of, load_plan
from experiments.hypotheses.real_sets import SETS, RealSet, parts_of
from experiments.hypotheses.report import markdown
from experiments.hypotheses.results import read_results, verdict_of
from experiments.transfer.digits import write_folder
from fdsl_gen.core.errors import UsageError
from fdsl_gen.storage import local
from fdsl_train.trial.pieces import Piece, Say, one_threaded, run_pieces
from fdsl_train.trial.results import last_top1


def real_sets(say: Say) -> tuple[RealSet, ...]:
    """The sets that are here; says of the others how to get them.

    Raises:
        UsageError: if there is none.
    """
    found = []
    for read in SETS:
        try:
            found.append(read())
        except UsageError as error:
            say(f"left out: {error}")
    if not found:
        raise UsageError("none of the real sets is here")
    return tuple(found)


def write_sources(work: Path) -> None:
    """The source images of the arms: a photograph that ships with scikit-image, and noise."""
    import skimage.data

    photo = Path(skimage.data.__file__).with_name("camera.png")
    local.write(work / "photo.png", photo.read_bytes())
    random = np.random.RandomState(0)  # frozen by NumPy's policy
    levels = {
        "gaussian": (128 + 40 * random.standard_normal((224, 224))).clip(0, 255),
        "uniform": random.randint(0, 256, (224, 224)),
    }
    for name, image in levels.items():
        if not (work / f"{name}.png").exists():
            Image.fromarray(image.astype(np.uint8)).save(work / f"{name}.png")


def write_draws(work: Path, plan: Plan, sets: Sequence[RealSet]) -> None:
    """Folders of labeled and measured images for every draw, and for choosing learning rates."""
    for one in sets:
        for draw in range(plan.draws):
            parts = parts_of(one.labels, draw, plan)
            _write(work / "draws" / f"{one.name}-{draw}", one, parts.labeled, parts.measured)
        parts = parts_of(one.labels, plan.draws, plan)  # a draw that is not reported
        _write(work / "draws" / f"{one.name}-aside", one, parts.labeled, parts.aside)


def _write(folder: Path, one: RealSet, train: NDArray[np.int64], val: NDArray[np.int64]) -> None:
    write_folder(folder, one.images, one.labels, {"train": train, "val": val})


def choose_rates(
    work: Path, plan: Plan, scale: Scale, sets: Sequence[RealSet], jobs: int, say: Say
) -> dict[str, float]:
    """The learning rate that suits scratch best, by set, on images that are not reported."""
    pieces = {
        (one.name, rate): Piece(
            name=f"choosing on {one.name}, lr {rate:g}",
            purpose="finetune",
            recipe=scale.finetune,
            data=work / "draws" / f"{one.name}-aside",
            output=work / "rates" / f"{one.name}-{rate:g}",
            settings={"lr": rate, "seed": 99} | scale.finetuning,
        )
        for one in sets
        for rate in scale.rates
    }
    with one_threaded(jobs) as pool:
        run_pieces(list(pieces.values()), pool, say)
    return {
        one.name: max(scale.rates, key=lambda rate: last_top1(pieces[one.name, rate].output))
        for one in sets
    }


def run_trials(trials: Sequence[Trial], sets: tuple[RealSet, ...], jobs: int, say: Say) -> None:
    """Run those without a result, and say how it goes on."""
    left = [trial for trial in trials if not trial.result.exists()]
    if len(left) < len(trials):
        say(f"{len(trials) - len(left)} of {len(trials)} are done already")
    began = time.monotonic()
    pool = one_threaded(jobs)
    try:
        futures = {pool.submit(trial.run, sets): trial for trial in left}
        for number, future in enumerate(as_completed(futures), 1):
            future.result()
            passed = (time.monotonic() - began) / 60
            say(
                f"{number} of {len(left)}: {futures[future].name} done; {passed:.0f} minutes"
                f" passed, about {passed / number * (len(left) - number):.0f} left"
            )
    finally:
        pool.shutdown(cancel_futures=True)


def answer(
    plan: Plan,
    claims: tuple[Claim, ...],
    sets: tuple[RealSet, ...],
    work: Path,
    docs: Path,
    *,
    scale: str = "cpu",
    jobs: int = 2,
    say: Say,
) -> None:
    """Do what is not done yet, then write the page and its pictures.

    Args:
        plan: all that may be compared.
        claims: of it, to be tried.
        sets: the real images.
        work: folder of all files; what is finished there is kept.
        docs: folder of the page.
        scale: ``cpu`` or ``gpu``.
        jobs: processes.
        say: takes lines for the user.

    Raises:
        UsageError: if ``work`` holds results of another plan.
    """
    began = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    how = plan.cpu if scale == "cpu" else plan.gpu
    _keep(work, plan, scale, sets)
    write_sources(work.absolute())
    write_draws(work, plan, sets)
    arms = [None, *plan.arms_of(claims)]
    first, second = images_of(plan, how, len(arms) - 1, len(sets))
    say(f"{first / 1e6:,.1f} million images of pre-training, {second / 1e6:,.1f} of fine-tuning")
    rates = choose_rates(work, plan, how, sets, jobs, say)
    trials = [
        Trial(arm, seed, plan, how, rates, work.absolute())
        for arm in arms
        for seed in range(plan.seeds)
    ]
    run_trials(trials, sets, jobs, say)
    files: dict[str, list[Path]] = {}
    for trial in trials:
        name = SCRATCH if trial.arm is None else trial.arm.name
        files.setdefault(name, []).append(trial.result)
    results = read_results(files, tuple(one.name for one in sets))
    minutes = sum(one["minutes"] for runs in results.found.values() for one in runs)
    facts = (
        f"{machine()}, PyTorch {version('torch')}, timm {version('timm')}:"
        f" {_minutes(work, began):.0f} minutes, of which the trials {minutes:.0f} process-minutes,"
        f" {jobs} processes of one thread at a time. Learning rates:"
        f" {', '.join(f'{name} {rate:g}' for name, rate in rates.items())}."
    )
    for claim in claims:
        draw_claim(docs / "hypotheses" / f"{claim.name}.png", claim, results)
        say(f"{claim.name}: {verdict_of(claim, results)}")
    draw_gains(docs / "hypotheses" / "gains.png", results)
    local.write(docs / "hypotheses.md", markdown(plan, how, claims, results, facts).encode())


def _minutes(work: Path, began: float) -> float:
    """Of this call and of those before it that came to an end."""
    path = work / "minutes.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else 0.0
    total = float(before + (time.monotonic() - began) / 60)
    local.write(path, json.dumps(total).encode())
    return total


def _keep(work: Path, plan: Plan, scale: str, sets: Sequence[RealSet]) -> None:
    """Note what ``work`` is for; refuse another plan, whose results would be mixed with these."""
    from fdsl_gen.core import settings

    said = settings.to_dict(plan, defaults=True)
    text = json.dumps([scale, [one.name for one in sets], said], sort_keys=True)
    path = work / "plan.json"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UsageError(f"{work} holds results of another plan; choose another --work")
    local.write(path, text.encode())


@click.command()
@click.option("--only", multiple=True, help="a claim by its name; several times for several")
@page_options(plan=PLAN, work=Path("runs/hypotheses"), docs=Path("docs"))
@click.option("--scale", default="cpu", show_default=True, type=click.Choice(["cpu", "gpu"]))
def main(only: tuple[str, ...], plan: Path, work: Path, docs: Path, jobs: int, scale: str) -> None:
    """Try the claims of the papers on small real images and write hypotheses.md."""
    with told():
        found = load_plan(plan)
        claims = found.only(only)
        sets = real_sets(click.echo)
        answer(found, claims, sets, work, docs, scale=scale, jobs=jobs, say=click.echo)


if __name__ == "__main__":
    main()
