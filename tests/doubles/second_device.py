"""A second processor that every machine has: real numbers, kept apart from the CPU's as CUDA's are.

Its tensors hold CPU tensors and say that they lie on `faraway`. Where an operation meets tensors of
both processors, or numpy is asked for one that is not the CPU's, it fails as it would on a GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend
from torch.utils.checkpoint import DefaultDeviceType

from perception.device import Device

NAME = "faraway"
SECOND = Device(NAME, torch.float32)
MOVES = ("_to_copy", "copy_")  # between processors
INDICES = ("index.", "index_put")  # which torch lets lie on the CPU


class FarTensor(torch.Tensor):
    """A tensor on the second processor."""

    held: torch.Tensor
    # torch's own stubs leave out the class and the function that both are called with.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "FarTensor":
        made: FarTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=torch.device(NAME),
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of torch, as below
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Factories(TorchFunctionMode):
    """What takes Python numbers goes past the dispatcher: made here first, then moved."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is torch.Tensor.new_tensor:
            return torch.tensor(args[1], dtype=args[0].dtype).to(args[0].device)
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            tensor, key, *value = args
            chosen = torch.tensor(key, dtype=torch.long) if isinstance(key, list) else key
            return func(tensor, chosen, *value)
        return func(*args, **kwargs)


@contextmanager
def second_device() -> Iterator[Device]:
    """While it lasts, this thread has the second processor."""
    _register()
    with _Factories(), _Mode():  # type: ignore[no-untyped-call]
        yield SECOND


@cache
def _register() -> None:
    recomputed_on = DefaultDeviceType.get_device_type()
    _setup_privateuseone_for_python_backend(NAME)
    DefaultDeviceType.set_device_type(recomputed_on)  # by other tests of this process


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    # In inference mode operations come before they are taken apart.
    with _Mode():  # type: ignore[no-untyped-call]
        parts = func.decompose(*args, **kwargs)
    if parts is not NotImplemented:
        return parts
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    far = any(isinstance(tensor, FarTensor) for tensor in tensors)
    near = any(not isinstance(tensor, FarTensor) and tensor.dim() for tensor in tensors)
    name = str(func).removeprefix("aten.")
    if far and near and not name.startswith((*MOVES, *INDICES)):
        raise RuntimeError(f"expected all tensors of {name} on one device, got {NAME} and cpu")
    asked = kwargs.get("device")
    goes = far if asked is None else torch.device(asked).type == NAME
    if asked is not None and goes:  # else it is the CPU, or meta, on which models are built
        kwargs = {**kwargs, "device": torch.device("cpu")}
    plain_args, plain = tree_map(_held, (args, kwargs))
    out = func(*plain_args, **plain)
    if func._schema.is_mutable and tensors and out is _held(tensors[0]):
        return tensors[0]
    return tree_map(_far, out) if goes else out


def _held(leaf: Any) -> Any:
    return leaf.held if isinstance(leaf, FarTensor) else leaf


def _far(leaf: Any) -> Any:
    if not isinstance(leaf, torch.Tensor):
        return leaf
    with torch.inference_mode(False):  # torch cannot make views of this kind inside of it
        return FarTensor(leaf)
