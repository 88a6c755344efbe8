"""``fdsl-train push``: a finished run as a model of the Hugging Face Hub."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fdsl_gen import __version__, load_recipe
from fdsl_gen.core.errors import FdslError, UsageError
from fdsl_gen.core.extras import missing
from fdsl_gen.storage.clouds import hub_address
from fdsl_gen.storage.hub_errors import not_sent
from fdsl_train.models.hub import parse_model_url
from fdsl_train.training import checkpoint
from fdsl_train.training.data_record import read_data
from fdsl_train.training.result import MEASURES
from fdsl_train.training.run_dir import ARGS, EXPORT


@dataclass(frozen=True, kw_only=True)
class Published:
    """A finished run, as its card tells of it.

    Attributes:
        repo_id: OWNER/NAME.
        license: of the weights.
        args: the resolved recipe, the text of ``args.yaml``.
        saved: the last checkpoint.
        sets: what it was trained on, as in ``data.json``.
        start: what its weights came from.
        citations: BibTeX of the sets that have one.
    """

    repo_id: str
    license: str
    args: str
    saved: dict[str, Any]
    sets: list[dict[str, Any]]
    start: str
    citations: tuple[str, ...]


def push(run: str | Path, url: str, *, license: str | None = None, private: bool = False) -> str:
    """Send a finished run to the Hub: weights, configuration for timm, recipes and a card.

    All of it is one commit, so that the model there is never half of one and half of another. Push
    again to replace it.

    Args:
        run: output folder.
        url: ``hf://OWNER/NAME``; the repository is made if it does not exist.
        license: of the weights, by the Hub's names; None: that of the datasets, if they have one.
        private: whether a new repository is visible to its owner alone.

    Returns:
        ``hf://OWNER/NAME``.

    Raises:
        UsageError: if the run is not finished, no license is known, or the Hub refuses the account.
        StorageError: if the Hub fails or cannot be reached.
    """
    run = Path(run)
    repo_id, revision = parse_model_url(url)
    if revision is not None:
        raise UsageError(f"{url}: a model is pushed without a revision; leave @{revision} out")
    files = [path for path in sorted((run / EXPORT).glob("*")) if not path.name.startswith(".")]
    if not files:
        raise UsageError(f"{run} has no {EXPORT}: it is no run, or not finished; finish it first")
    about = _about(run, repo_id, license)
    contents: dict[str, bytes | Path] = {path.name: path for path in files}
    contents |= {ARGS: about.args.encode(), "README.md": card(about).encode()}
    for name, recipe in _recipes(about.sets).items():
        contents[name] = recipe.encode()
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
    except ImportError:
        raise missing("huggingface_hub", "the Hub") from None
    api: Any = HfApi(endpoint=hub_address())
    try:
        api.create_repo(repo_id, repo_type="model", private=private or None, exist_ok=True)
        api.create_commit(
            repo_id,
            [
                CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
                for name, content in contents.items()
            ],
            commit_message=f"Add {run.name}, trained by fdsl-train {__version__}",
            repo_type="model",
        )
    except Exception as error:  # of many kinds, whose messages may quote requests
        raise not_sent(error, repo_id) from None
    return f"hf://{repo_id}"


def _about(run: Path, repo_id: str, license: str | None) -> Published:
    saved = checkpoint.load(run / checkpoint.LAST)
    data = read_data(run)
    made = [load for one in data["sets"] if (load := _loaded(one)) is not None]
    if license is None:
        found = {recipe.license for recipe in made}
        if len(made) < len(data["sets"]) or len(found) != 1:
            raise UsageError(
                "--license: the data name none, or several; give the license of the weights, such"
                " as mit or cc-by-nc-4.0"
            )
        license = found.pop()
    return Published(
        repo_id=repo_id,
        license=license,
        args=(run / ARGS).read_text(encoding="utf-8"),
        saved=saved,
        sets=data["sets"],
        start=str(data.get("start", "")),
        citations=tuple(dict.fromkeys(recipe.variant.CITATION.strip() for recipe in made)),
    )


def _loaded(one: dict[str, Any]) -> Any:
    """The recipe of a set; None if it is not of ours, or cannot be read by this version."""
    if "recipe" not in one:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(yaml.safe_dump(one["recipe"], sort_keys=False), encoding="utf-8")
        try:
            return load_recipe(path)
        except FdslError:  # made from a picture that is not here
            return None


def _recipes(sets: list[dict[str, Any]]) -> dict[str, str]:
    """Files that make the sets of ours again: ``fdsl-gen run FILE --out DIR``."""
    ours = [one["recipe"] for one in sets if "recipe" in one]
    names = ["dataset.yaml"] if len(ours) == 1 else [f"dataset-{i}.yaml" for i in range(len(ours))]
    texts = (yaml.safe_dump(recipe, sort_keys=False) for recipe in ours)
    return dict(zip(names, texts, strict=True))


def card(about: Published) -> str:
    """The content of ``README.md``: YAML for the Hub, then text for people."""
    config, saved = about.saved["config"], about.saved
    dense = config.get("decoder") is not None
    task = "image-segmentation" if dense else "image-classification"
    front: dict[str, Any] = {
        "library_name": "timm",
        "license": about.license,
        "pipeline_tag": task,
        "tags": ["timm", task, "formula-driven-supervised-learning"],
    }
    if saved["latest"]:
        front["model-index"] = [_index(about, task)]
    sets = "\n".join(_set(one) for one in about.sets)
    recipes = "\n".join(
        f"\n```yaml\n{text.rstrip()}\n```\n\n`fdsl-gen run {name} --out DIR` makes the same images"
        " again."
        for name, text in _recipes(about.sets).items()
    )
    cited = "\n".join(f"\n```bibtex\n{text}\n```" for text in about.citations)
    use = (
        f'model = fdsl_train.load_model("hf://{about.repo_id}")  # with its decoder'
        if dense
        else f'model = timm.create_model("hf-hub:{about.repo_id}", pretrained=True)'
    )
    return f"""---
{yaml.safe_dump(front, sort_keys=False)}---

# {about.repo_id.partition("/")[2]}

{config["model"]} at {config["img_size"]} pixels, {saved["num_classes"]:,} classes, trained by
fdsl-train {__version__} for {saved["step"]:,} steps of {config["global_batch_size"]:,} images.

```python
import {"fdsl_train" if dense else "timm"}
{use}
```

To go on from here: `fdsl-train finetune --checkpoint hf://{about.repo_id}`, see `-h` there.

## Data

{sets}
{recipes}

## Training

Started from: {about.start}. Every setting of the run (`{ARGS}`):

```yaml
{about.args.rstrip()}
```

## Measures

{_measures(saved)}
{"## Citation" + chr(10) + cited + chr(10) if cited else ""}"""


def _index(about: Published, task: str) -> dict[str, Any]:
    data = {"name": about.sets[0]["name"] if about.sets else "data", "type": "validation"}
    metrics = [
        {"type": name, "name": MEASURES.get(name, name), "value": round(value, 3)}
        for name, value in about.saved["latest"].items()
    ]
    results = [{"task": {"type": task}, "dataset": data, "metrics": metrics}]
    return {"name": about.repo_id.partition("/")[2], "results": results}


def _set(one: dict[str, Any]) -> str:
    """A line on a set."""
    text = f"- {one['name']}: {one['num_classes']:,} classes"
    if one["share"] != 1:
        text += f", {100 * one['share']:.3g} % of what was shown"
    if "identity" in one:
        return f"{text}, drawn from formulas; identity `{one['identity']}`, data `{one['digest']}`"
    return f"{text}; data `{one['digest']}`"


def _measures(saved: dict[str, Any]) -> str:
    if not saved["latest"]:
        return "Nothing was validated; the last weights are here."
    guess = saved.get("guess")
    rows = [
        f"| {MEASURES.get(name, name)}, % | {value:.2f} | {saved['best'].get(name, value):.2f} |"
        for name, value in saved["latest"].items()
    ]
    note = f"\n\nA guess reaches {guess['percent']:.2f} %." if guess else ""
    head = f"| on the validation part | these weights | best, step {saved['best']['step']:,} |"
    return "\n".join([head, "|---|---|---|", *rows]) + note
