"""An encoder of timm's with a decoder: a class for every pixel.

The encoder is the classifier itself without its head, under ``encoder.`` with timm's own names, so
that weights travel between classification and segmentation without a table. The decoders are those
of segmentation-models-pytorch; ``linear`` is a baseline without weights of its own below the last
layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.extras import missing
from fdsl_train.config import Decoder

ENCODER = "encoder."  # before the names of the encoder's weights
DEFAULT_CHANNELS = 256  # of a decoder, as in segmentation-models-pytorch
_MOST_LEVELS = 4
_FINEST = 4  # pixels; UPerNet begins at a quarter of the size
_DROPOUT = 0.1  # before the last layer, as in the papers


@dataclass(frozen=True)
class Levels:
    """The feature maps of an encoder that a decoder sees, finest first.

    Attributes:
        numbers: of its blocks or stages.
        channels: of each map.
        strides: pixels of the image to a place of each map.
        prefix_tokens: class and register tokens beside them.
    """

    numbers: tuple[int, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    prefix_tokens: int

    @property
    def plain(self) -> bool:
        """Whether all maps have one size, as in a vision transformer."""
        return len(set(self.strides)) == 1


def levels_of(encoder: nn.Module) -> Levels:
    """The levels of a model of timm's: its stages, or four blocks evenly spaced.

    Raises:
        UsageError: if timm cannot take them from that model.
    """
    infos: Any = getattr(encoder, "feature_info", None)
    if not infos or not hasattr(encoder, "forward_intermediates"):
        raise UsageError("timm gives no feature maps of it; take another model")
    strides = [int(info["reduction"]) for info in infos]
    count = min(_MOST_LEVELS, len(strides))
    if len(set(strides)) == 1:
        numbers = [len(strides) * (k + 1) // count - 1 for k in range(count)]
    else:
        numbers = [i for i, stride in enumerate(strides) if stride >= _FINEST][:_MOST_LEVELS]
    return Levels(
        tuple(numbers),
        tuple(int(infos[i]["num_chs"]) for i in numbers),
        tuple(strides[i] for i in numbers),
        int(getattr(encoder, "num_prefix_tokens", 0)),
    )


class Linear(nn.Module):
    """All levels at the size of the finest, one behind the other; the head does the rest."""

    def __init__(self, levels: Levels) -> None:
        super().__init__()
        self.width = sum(levels.channels)

    def forward(self, maps: list[Tensor], _: list[Tensor | None]) -> Tensor:
        """Float (B, width, h, w)."""
        size = maps[0].shape[-2:]
        return torch.cat([maps[0], *(_resized(one, size) for one in maps[1:])], dim=1)


class UPerNet(nn.Module):
    """UPerNet (Xiao et al., "Unified Perceptual Parsing for Scene Understanding", ECCV 2018)."""

    def __init__(self, levels: Levels, channels: int) -> None:
        super().__init__()
        from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder

        self.width = channels
        # The first two stand for the image and for half its size, which it passes over.
        channels_of_levels = [3, 0, *levels.channels]
        self.decoder = UPerNetDecoder(
            channels_of_levels, encoder_depth=len(levels.channels) + 1, decoder_channels=channels
        )

    def forward(self, maps: list[Tensor], _: list[Tensor | None]) -> Tensor:
        """Float (B, width, h, w), h a quarter of the height."""
        out: Tensor = self.decoder([maps[0], maps[0], *maps])
        return out


class DPT(nn.Module):
    """DPT (Ranftl et al., "Vision Transformers for Dense Prediction", ICCV 2021)."""

    def __init__(self, levels: Levels, channels: int) -> None:
        super().__init__()
        from segmentation_models_pytorch.decoders.dpt.decoder import DPTDecoder, DPTSegmentationHead

        self.width = channels
        widths = (channels, 2 * channels, 4 * channels, 4 * channels)[: len(levels.numbers)]
        self.decoder = DPTDecoder(
            levels.channels,
            levels.strides,
            encoder_has_prefix_tokens=levels.prefix_tokens > 0,
            readout="cat" if levels.prefix_tokens else "ignore",
            intermediate_channels=widths,
            fusion_channels=channels,
        )
        self.neck = DPTSegmentationHead(channels, 1).head[:3]  # without dropout and last layer

    def forward(self, maps: list[Tensor], prefix: list[Tensor | None]) -> Tensor:
        """Float (B, width, h, w), h half the height."""
        out: Tensor = self.neck(self.decoder(maps, prefix))
        return out


class Segmenter(nn.Module):
    """Encoder, decoder and a last layer.

    Args:
        encoder: a model of timm's without head.
        decoder: linear, upernet or dpt.
        channels: of the decoder.
        num_classes: C.

    Raises:
        UsageError: if the decoder is not for such an encoder, or is not installed.
    """

    def __init__(
        self, encoder: nn.Module, decoder: Decoder, channels: int, num_classes: int
    ) -> None:
        super().__init__()
        self._levels = levels_of(encoder)
        self.encoder = encoder
        self.decoder = _decoder(decoder, self._levels, channels)
        self.dropout = nn.Dropout(_DROPOUT)
        self.head = nn.Conv2d(self.decoder.width, num_classes, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.constant_(self.head.get_parameter("bias"), 0.0)

    def forward(self, images: Tensor) -> Tensor:
        """Logits for every pixel: float (B, 3, H, W) -> (B, C, H, W)."""
        maps, prefix = self._features(images)
        logits = self.head(self.dropout(self.decoder(maps, prefix)))
        return _resized(logits, images.shape[-2:])

    def _features(self, images: Tensor) -> tuple[list[Tensor], list[Tensor | None]]:
        encoder: Any = self.encoder
        more = {"return_prefix_tokens": True} if self._levels.prefix_tokens else {}
        found = encoder.forward_intermediates(
            images, indices=list(self._levels.numbers), norm=True, intermediates_only=True, **more
        )
        if not more:
            return list(found), [None] * len(found)
        return [one for one, _ in found], [tokens for _, tokens in found]

    def get_classifier(self) -> nn.Module:
        """The last layer, by timm's name."""
        return self.head

    def above_encoder(self) -> list[nn.Module]:
        """What a frozen encoder leaves to train."""
        return [self.decoder, self.dropout, self.head]


def default_decoder(encoder: nn.Module) -> Decoder:
    """DPT for a plain vision transformer, UPerNet for a model with stages."""
    return "dpt" if levels_of(encoder).plain else "upernet"


def unused_parameters(segmenter: Segmenter, side: int) -> list[str]:
    """Weights of the encoder that no pixel depends on, such as a norm before the lost head.

    Args:
        segmenter: on the device ``meta``, where this costs nothing.
        side: of the input, pixels.

    Raises:
        UsageError: if images of that size cannot pass.
    """
    try:
        segmenter.eval()(torch.zeros(1, 3, side, side, device="meta")).sum().backward()
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"img_size: the decoder cannot take images of {side} px ({reason}); a multiple of 32"
            " suits most"
        ) from None
    return [name for name, weight in segmenter.named_parameters() if weight.grad is None]


def _decoder(name: Decoder, levels: Levels, channels: int) -> Any:
    if name == "linear":
        return Linear(levels)
    kinds = {"upernet": UPerNet, "dpt": DPT}
    if (name == "dpt") != levels.plain:
        kind = "the levels of a plain vision transformer have one size"
        if name == "dpt":
            kind = "it is for plain vision transformers"
        other = "dpt" if levels.plain else "upernet"
        raise UsageError(f"decoder: {name} does not fit: {kind}; take {other} or linear")
    try:
        from segmentation_models_pytorch.base.initialization import initialize_decoder

        decoder = kinds[name](levels, channels)
    except ImportError:
        raise missing("segmentation_models_pytorch", f"decoder {name}") from None
    except ValueError as error:
        raise UsageError(f"decoder: {name} does not fit this model: {error}") from None
    initialize_decoder(decoder)
    return decoder


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    if maps.shape[-2:] == tuple(size):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
