"""Models whose weights are spread over the ranks: PyTorch's FSDP2, block by block.

Forward passes and gathers are collective: every rank must take part in each, in the same order.
Three things would break that and are dealt with here. Scoring calls the body and then the head on
some positions, so it runs `inside` the root module, whose own weights are whole there. Ranks have
rows of different lengths, so the number of passes is made `even`. Ranks decode unequal numbers of
tokens, so sampling happens while the weights are `unsharded`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ablate.errors import SurroundingsError
from ablate.models.backbone import unwrapped
from ablate.models.ranks import device_type, largest, rank, world_size

T = TypeVar("T")

_skeletons: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()
"""What a sharded model was before, without the memory of its weights."""


def first_place(device: str) -> str:
    """Return where a model is loaded: on the CPU if only a part of it goes to ``device``."""
    return device if world_size() == 1 else "cpu"


def is_sharded(model: nn.Module) -> bool:
    """Return whether the model's weights are spread over the ranks."""
    return unwrapped(model) in _skeletons


def spread(model: nn.Module) -> nn.Module:
    """Shard the model in place, where there are several ranks; return it.

    Each block by itself, then what is left (embeddings, last norm, heads) as the root. Gradients
    are summed over ranks and not averaged: losses are shares of one denominator. On GPUs blocks
    are gathered in bf16, in which autocast computes them anyway, and gradients are summed in fp32.
    """
    if world_size() == 1 or is_sharded(model):
        return model
    from torch.distributed import fsdp  # A second of import time that one process does not need.

    root = unwrapped(model)
    if any(not weight.is_floating_point() for weight in model.parameters()):
        raise SurroundingsError(
            "sharding: the model has quantized weights; several devices need weights of floating "
            "point numbers. Load it without 4-bit weights, or train on one device."
        )
    _skeletons[root] = _skeleton(model)
    mesh = torch.distributed.device_mesh.init_device_mesh(device_type(), (world_size(),))
    precision = fsdp.MixedPrecisionPolicy()
    if device_type() == "cuda":
        precision = fsdp.MixedPrecisionPolicy(
            torch.bfloat16, torch.float32, cast_forward_inputs=False
        )
    for block in _blocks(root):
        fsdp.fully_shard(block, mesh=mesh, mp_policy=precision)
    fsdp.fully_shard(root, mesh=mesh)
    for part in _parts(root):
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)  # gloo knows no other.
    root.run_inside = _call
    fsdp.register_fsdp_forward_method(root, "run_inside")
    # The first pass names the root; without it a block that is called first would be one.
    inside(model, _nothing)
    root.reshard()
    return model


def inside(model: nn.Module, function: Callable[..., T], *args: Any) -> T:
    """Return ``function(*args)``, in which the model's parts may be called one by one."""
    if not is_sharded(model):
        return function(*args)
    result: T = unwrapped(model).run_inside(function, *args)
    return result


def recording(model: nn.Module, *, grad: bool) -> AbstractContextManager[object]:
    """Return the mode of a forward pass: inference where nothing is recorded for a backward pass.

    Weights that are gathered in inference mode could not be trained later.
    """
    if not is_sharded(model):
        return torch.inference_mode(not grad)
    return nullcontext() if grad else torch.no_grad()


def even(batches: Sequence[list[int]]) -> list[list[int]]:
    """Return the batches and as many empty ones as the rank with the most has more."""
    return [*batches, *([] for _ in range(int(largest(len(batches))) - len(batches)))]


@contextmanager
def unsharded(model: nn.Module) -> Iterator[None]:
    """Hold all weights on every rank, so that passes need no other rank; let go at the end."""
    if not is_sharded(model):
        yield
        return
    root = unwrapped(model)
    for module in _parts(root):
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in _parts(root):
            module.reshard()
            module.set_reshard_after_forward(module is not root, recurse=False)


def whole(value: Tensor) -> Tensor:
    """Return a spread tensor whole: on rank 0's CPU, empty on other ranks."""
    if not _is_spread(value):
        return value.detach()
    spread_value: Any = value.detach()
    full: Tensor = spread_value.full_tensor()
    return full.cpu() if rank() == 0 else torch.empty(0)


def number(value: Tensor) -> float:
    """Return a scalar as a number, a spread one after asking the other ranks."""
    spread_value: Any = value
    return float(spread_value.full_tensor() if _is_spread(value) else value)


def spread_like(value: Tensor, weight: Any) -> Tensor:
    """Return this rank's part of a whole tensor where ``weight`` is spread, else the tensor."""
    if not _is_spread(weight) or value.ndim == 0:
        return value
    from torch.distributed.tensor import distribute_tensor

    # Every rank has read the whole tensor, so none of it needs to travel.
    return distribute_tensor(
        value.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None
    )


def collected(model: nn.Module) -> nn.Module | None:
    """Return a whole copy of a sharded model on rank 0's CPU, None on other ranks.

    A model that is not sharded is returned itself. Parts that were taken off since it was sharded
    are not in the copy.
    """
    if not is_sharded(model):
        return model
    skeleton = _skeletons[unwrapped(model)]
    kept = dict(model.named_modules())
    for name, _ in list(skeleton.named_modules()):
        parent, _, leaf = name.rpartition(".")
        if name not in kept and parent in kept:
            delattr(skeleton.get_submodule(parent), leaf)
    names = {id(weight): name for name, weight in skeleton.named_parameters()}
    weights = {name: whole(weight) for name, weight in model.named_parameters()}
    if rank() != 0:
        return None
    memo: dict[int, Any] = {
        key: nn.Parameter(weights[name], requires_grad=False) for key, name in names.items()
    }
    return copy.deepcopy(skeleton, memo).cpu()


def _skeleton(model: nn.Module) -> nn.Module:
    """Return a copy without memory for weights; tied weights stay tied, buffers are kept."""
    memo: dict[int, Any] = {
        id(weight): nn.Parameter(weight.detach().to("meta"), requires_grad=False)
        for weight in model.parameters()
    }
    return copy.deepcopy(model, memo)


def _blocks(root: nn.Module) -> list[nn.Module]:
    """Return the transformer blocks; none where the model does not keep them in one list."""
    depth = getattr(getattr(root, "config", None), "num_hidden_layers", None)
    stacks = (m for m in root.modules() if isinstance(m, nn.ModuleList) and len(m) == depth)
    return list(next(stacks, ()))


def _parts(root: nn.Module) -> list[Any]:
    """Return the modules that are gathered one at a time, the root first."""
    from torch.distributed.fsdp import FSDPModule

    return [module for module in root.modules() if isinstance(module, FSDPModule)]


def _is_spread(value: Tensor) -> bool:
    if world_size() == 1:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(value, DTensor)


def _call(function: Callable[..., Any], *args: Any) -> Any:
    """Call, and copy views in the result: FSDP hooks the result's gradient, and warns of views."""
    result = function(*args)
    if isinstance(result, tuple):
        return tuple(part.clone() for part in result)
    return result.clone() if isinstance(result, Tensor) else result


def _nothing() -> None:
    """Do nothing."""
