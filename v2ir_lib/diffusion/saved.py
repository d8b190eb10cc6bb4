"""How much a network keeps for its backward pass, counted without running it.

torch's fake tensors have shapes, types and a device, but no numbers: a forward pass over them takes a second at any
size, on any machine, and autograd keeps from it just what it would keep on a GPU. What it keeps is added up, each block
of memory once, and the weights themselves left out.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode


@dataclass(frozen=True)
class Saved:
    """Bytes that autograd keeps: of the whole pass, and of the one unit that keeps most."""

    total: int
    largest_unit: int


def count_saved(
    build: Callable[[], torch.nn.Module],
    run: Callable[[torch.nn.Module], object],
    *,
    mixed: bool = False,
    units: tuple[type, ...] = (),
) -> Saved:
    """Of `run(build())`, as on a GPU; mixed: under bf16 autocast, whose copies of weights then count too.

    `build` makes a network without numbers, on the meta device; what `run` makes is fake too. Attention keeps what
    flash attention keeps: query, key, value, the answer and one float a row, never the matrix of all pairs. `units`:
    classes of which the largest is wanted; one within another counts for both.
    """
    with torch.device("meta"):
        module = build()
    with FakeTensorMode(), torch.device("cuda"), _FlashAttention(), _autocast(mixed):
        _to_fake_gpu(module)
        own = {parameter.untyped_storage()._cdata for parameter in module.parameters()}
        kept: dict[int, torch.UntypedStorage] = {}  # held, so that no address is used twice
        total, largest, before = 0, 0, []

        def keep(value: torch.Tensor) -> torch.Tensor:
            nonlocal total
            storage = value.untyped_storage()
            if storage._cdata not in own and storage._cdata not in kept:
                kept[storage._cdata] = storage
                total += storage.nbytes()
            return value

        def enter(*_) -> None:
            before.append(total)

        def leave(*_) -> None:
            nonlocal largest
            largest = max(largest, total - before.pop())

        for part in module.modules():
            if units and isinstance(part, units):
                part.register_forward_pre_hook(enter)
                part.register_forward_hook(leave)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            run(module)
    return Saved(total, largest)


def _to_fake_gpu(module: torch.nn.Module) -> None:
    """In place: `Module.to` swaps the numbers of a tensor, and there are none."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = torch.nn.Parameter(
                    torch.empty(value.shape, dtype=value.dtype), value.requires_grad
                )
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = torch.empty(value.shape, dtype=value.dtype)


class _Flash(torch.autograd.Function):
    """The memory of flash attention, without its arithmetic: (B, heads, L, D) three times → (B, heads, L, D).

    The answer lies in memory as (B, L, heads, D), so that joining the heads afterwards makes no copy.
    """

    @staticmethod
    def forward(ctx, query, key, value):
        batch, heads, length, _ = query.shape
        answer = query.new_empty(batch, length, heads, value.shape[-1]).transpose(1, 2)
        ctx.save_for_backward(query, key, value, answer, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return answer

    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError("only memory is counted")


class _FlashAttention(torch.overrides.TorchFunctionMode):
    """On this machine, without a GPU, fake attention would fall back to the matrix of all pairs."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is F.scaled_dot_product_attention:
            given = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
            query, key, value = (given[name] for name in ("query", "key", "value"))
            if torch.is_autocast_enabled("cuda"):
                query, key, value = (part.to(torch.bfloat16) for part in (query, key, value))
            return _Flash.apply(query, key, value)
        return function(*args, **kwargs)


@contextlib.contextmanager
def _autocast(mixed: bool) -> Iterator[None]:
    """torch.autocast("cuda"), which switches itself off where there is no GPU."""
    was, kind = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", mixed)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    try:
        yield
    finally:
        torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", was)
        torch.set_autocast_dtype("cuda", kind)
