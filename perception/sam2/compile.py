"""Programs of static shape for SAM 2's parts: torch.compile, or CUDA graphs replayed each frame.

The image encoder sees the same shapes in every frame, and so does memory attention once memory is
full, so their hundreds of small kernels can be fused, or recorded once and replayed. Where that
does not work the plain function goes on, and `Program.reason` says why.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, Literal

import torch

CompileMode = Literal["off", "default", "graphs"]
Tensors = tuple[torch.Tensor, ...]
Function = Callable[..., Tensors]
WARM_UP = 3  # runs before a graph is recorded: libraries choose their kernels in them
MAX_PROGRAMS = 4  # shapes kept; the first that settle stay

logger = logging.getLogger(__name__)


class Program:
    """A function of tensors (and of hashable constants after them), made static shape by shape.

    A shape is compiled or recorded when it comes the second time in a row; before, and for more
    shapes than are kept, the plain function runs. `reason` is None while that works; after a
    failure it is why not, and the plain function is used from then on.
    """

    def __init__(self, function: Function, mode: CompileMode, backend: str = "inductor") -> None:
        self._plain, self._mode, self._backend = function, mode, backend
        self._programs: dict[tuple[Any, ...], Function] = {}
        self._last: tuple[Any, ...] | None = None
        self._running = threading.Lock()
        self.reason: str | None = "off" if mode == "off" else None

    @property
    def count(self) -> int:
        """Shapes that run as programs."""
        return len(self._programs)

    def __call__(self, *tensors: torch.Tensor, constants: tuple[Any, ...] = ()) -> Tensors:
        """The function's tensors; they are the caller's, no later call changes them."""
        if self.reason is not None:
            return self._plain(*tensors, *constants)
        with self._running:  # a recorded program's memory is its own, and one
            return self._run(tensors, constants)

    def _run(self, tensors: Tensors, constants: tuple[Any, ...]) -> Tensors:
        key = (*((one.shape, one.dtype, one.device) for one in tensors), constants)
        settled, self._last = key == self._last, key
        program = self._programs.get(key)
        if program is None and (not settled or len(self._programs) >= MAX_PROGRAMS):
            return self._plain(*tensors, *constants)
        try:
            if program is None:
                program = self._programs[key] = self._make(tensors, constants)
            return program(*tensors)
        except Exception as error:  # compilers fail in many ways, and none may end a stream
            lines = str(error).splitlines() or [""]
            self.reason = f"{type(error).__name__}: {lines[0]}"
            logger.warning("%s does not work here, going on without: %s", self._mode, self.reason)
            self._programs.clear()
            return self._plain(*tensors, *constants)

    def _make(self, tensors: Tensors, constants: tuple[Any, ...]) -> Function:
        function = self._plain

        def own(*given: torch.Tensor) -> Tensors:
            return function(*given, *constants)

        if self._mode == "graphs":
            return _recorded(own, tensors)
        compiled: Function = torch.compile(own, backend=self._backend, dynamic=False)
        return compiled


def _recorded(function: Function, tensors: Tensors) -> Function:
    """The function as one CUDA graph over fixed memory; raises RuntimeError off CUDA."""
    device = tensors[0].device
    if device.type != "cuda":
        raise RuntimeError(f"CUDA graphs need a CUDA device, the model is on {device}")
    given = tuple(one.clone() for one in tensors)
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            function(*given)
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = function(*given)

    def replay(*tensors: torch.Tensor) -> Tensors:
        for fixed, one in zip(given, tensors, strict=True):
            fixed.copy_(one, non_blocking=True)
        graph.replay()
        return tuple(one.clone() for one in found)  # the next replay writes over them

    return replay
