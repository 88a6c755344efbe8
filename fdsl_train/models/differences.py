"""How weights of one vision transformer differ from another model, in words."""

from collections.abc import Mapping

from torch import Tensor, nn

_REGISTERS = ("reg_token", "register_tokens")  # timm's and DINOv2's name


def difference(weights: Mapping[str, Tensor], model: nn.Module) -> str | None:
    """The one thing that keeps weights from fitting a model, None if it is none of these.

    A difference of shapes alone would let a user guess; timm's rules for loading would even
    resample some of these weights, and the model would answer wrongly.

    Args:
        weights: by the model's names.
        model: of timm's.
    """
    own = model.state_dict()
    sizes = _kernel(weights, own)
    if sizes is not None:
        return sizes
    if "blocks.0.norm1.weight" not in weights or "blocks.0.norm1.weight" not in own:
        return None  # not two vision transformers
    for what, names, hint in (
        ("a distillation token", ("dist_token",), "distilled"),
        ("register tokens", _REGISTERS, "reg"),
        ("a class token", ("cls_token",), ""),
    ):
        theirs, ours = _tokens(weights, names), _tokens(own, names)
        if theirs != ours:
            return _tokens_in_words(what, hint, theirs, ours)
    pools, takes = "fc_norm.weight" in weights, "fc_norm.weight" in own
    if pools != takes and ("norm.weight" in weights) != ("norm.weight" in own):
        averaged, token = "average over the patches (fc_norm)", "take the class token (norm)"
        first, second = (averaged, token) if pools else (token, averaged)
        return f"they {first} before the head, where the model would {second}"
    return None


def _kernel(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    """Patch size, channels and width, from the layer that makes tokens of patches."""
    name = "patch_embed.proj.weight"
    if name not in weights or name not in own:
        return None
    theirs, ours = weights[name].shape, own[name].shape
    if len(theirs) != 4 or len(ours) != 4:
        return None
    if theirs[2:] != ours[2:]:
        return (
            f"they are for patches of {_side(theirs)} px, the model has patches of {_side(ours)} px"
        )
    if theirs[1] != ours[1]:
        return f"they are for images of {theirs[1]} channels, the model takes {ours[1]}"
    if theirs[0] != ours[0]:
        return f"they are {theirs[0]} wide, the model is {ours[0]} wide"
    return None


def _side(shape: tuple[int, ...]) -> str:
    return str(shape[2]) if shape[2] == shape[3] else f"{shape[2]} x {shape[3]}"


def _tokens(weights: Mapping[str, Tensor], names: tuple[str, ...]) -> int:
    found = next((weights[name] for name in names if name in weights), None)
    return 0 if found is None else found.shape[-2] if found.ndim > 1 else 1


def _tokens_in_words(what: str, hint: str, theirs: int, ours: int) -> str:
    number = f" ({theirs or ours})" if "tokens" in what else ""
    if theirs and ours:
        return f"they have {theirs} {what}, the model has {ours}"
    if ours:
        return f"they lack {what}{number}, which the model has"
    named = f"; timm's names of models with them have '{hint}'" if hint else ""
    return f"they have {what}{number}, which the model lacks{named}"
