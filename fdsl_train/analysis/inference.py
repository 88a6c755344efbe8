"""A trained model at work on images, without training: what eval, knn and attention share."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fdsl_gen.core.errors import UsageError
from fdsl_train.data.loader import Loader
from fdsl_train.data.sampler import Sequential
from fdsl_train.data.sources.base import Source
from fdsl_train.data.workers import loader_processes
from fdsl_train.distributed.device import describe
from fdsl_train.input_spec import InputSpec
from fdsl_train.models.adapt import build_from_pretrained, resize_note
from fdsl_train.models.architecture import Architecture
from fdsl_train.models.pretrained import PretrainedWeights, read_pretrained
from fdsl_train.transforms import eval_transform
from fdsl_train.transforms.batch import ImageTransform
from fdsl_train.transforms.corruption import Corrupted, Corruption

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Inference:
    """Which model looks at images, and how.

    Attributes:
        checkpoint: file or folder of weights.
        use_ema: take the moving average kept in the file.
        model: timm's name, where the file does not say it.
        img_size: side of the input, pixels; None: as trained.
        device: ``auto`` takes a GPU if there is one.
        batch_size: images at a time.
        workers: loader processes; 0 loads in this one, None takes one for each CPU granted.
    """

    checkpoint: Path
    use_ema: bool = False
    model: str | None = None
    img_size: int | None = None
    device: str = "auto"
    batch_size: int = 128
    workers: int | None = 0

    @property
    def torch_device(self) -> torch.device:
        """Where to compute."""
        wanted = self.device == "auto" and torch.cuda.is_available()
        return torch.device("cuda" if wanted else "cpu")

    def read(self) -> PretrainedWeights:
        """The weights.

        Raises:
            UsageError: if there are none, or they are of another model than asked.
        """
        asked = Architecture.of({"model": self.model, "img_size": self.img_size})
        return read_pretrained(self.checkpoint, vars(asked), averaged=self.use_ema)

    def build(self, trained: PretrainedWeights, *, head: bool) -> nn.Module:
        """The model, ready to evaluate, on its device.

        Args:
            trained: from :meth:`read`.
            head: whether its classifier is wanted; without, the file need not have one.

        Raises:
            UsageError: if the weights do not fit.
        """
        architecture = trained.architecture
        model = build_from_pretrained(
            trained,
            num_classes=None if head else 1,
            img_size=self.img_size,
            architecture=architecture if head else architecture.classifier(),
        )
        return model.eval().requires_grad_(False).to(self.torch_device)

    def announce(self, trained: PretrainedWeights) -> None:
        """Tell the user which weights look, where, and what became of them on the way."""
        name, device = trained.architecture.model, describe(self.torch_device)
        logger.info(f"{name} from {trained.name}, on {device}")
        resized = resize_note(trained, self.img_size)
        for note in (*trained.notes, *([resized] if resized else [])):
            logger.info(note)

    def side(self, trained: PretrainedWeights) -> int:
        """Side of the input, pixels."""
        return self.img_size or trained.architecture.img_size

    def transform(self, trained: PretrainedWeights) -> ImageTransform:
        """From an image to what the model was validated on."""
        spec = InputSpec(img_size=self.side(trained), **trained.inputs.settings())
        return eval_transform(spec)

    def outputs(
        self,
        source: Source,
        trained: PretrainedWeights,
        function: Callable[[Tensor], Tensor],
        corruption: Corruption | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """What ``function`` makes of all images of a source, in file order.

        Args:
            source: images with one label each.
            trained: gives size, mean and std of the input.
            function: float32 (B, 3, H, W) on the device -> (B, ...).
            corruption: what becomes of the images first, if anything does.

        Yields:
            The results on the CPU, and labels int64 (B,).

        Raises:
            UsageError: if a sample cannot be used.
        """
        if not source.label_type.one_label:
            raise UsageError(f"{source.name} has several labels per image; one is needed")
        plan = Sequential(source.shard_sizes, self.batch_size)
        transform = self.transform(trained)
        loader = Loader(
            source,
            plan,
            transform if corruption is None else Corrupted(transform, corruption),
            seed=0,
            batches=range(plan.num_batches),
            workers=loader_processes(self.workers),
            device=self.torch_device,
        )
        with torch.inference_mode():
            for images, labels, _ in loader:
                yield function(images).cpu(), labels.cpu()
