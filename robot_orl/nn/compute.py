"""How updates are computed: on which device, in which precision, operation by operation or compiled.

An agent writes its losses as plain functions of modules and tensors; `gradient` differentiates one of
them. Compiled, a whole update becomes one graph, optimisers included, whose elementwise work is fused and
whose autograd bookkeeping is gone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from robot_orl.errors import RunError

Found = TypeVar("Found")
Network = Callable[..., Any]  # a module, or the same module with other parameters


def gradient(
    module: nn.Module, loss: Callable[[Network], tuple[Tensor, Found]]
) -> tuple[list[Tensor], Found]:
    """By the module's parameters, in their order. loss: of the module, with whatever else it found."""
    parameters = dict(module.named_parameters())
    if torch.compiler.is_compiling():  # autograd's own tape cannot be part of a graph

        def of(values: Mapping[str, Tensor]) -> tuple[Tensor, Found]:
            return loss(lambda *inputs: functional_call(module, dict(values), inputs))

        gradients, (_, found) = grad_and_value(of, has_aux=True)(parameters)
        return [gradients[name] for name in parameters], found
    with torch.enable_grad():
        value, found = loss(module)
    return list(torch.autograd.grad(value, list(parameters.values()))), found


def full_precision(device: str) -> torch.autocast:
    """What is computed inside stays in float32 whatever is asked for around it."""
    return torch.autocast(device, enabled=False)


@dataclass
class Compute:
    """Calls an agent's step. precision: of matrix products; parameters stay float32.

    compiled: as one graph, which takes 10 to 30 s at the first call; PyTorch keeps it for the next process.
    """

    device: str = "cpu"
    precision: str = "float32"
    compiled: bool = False
    _graphs: dict[Callable[..., Any], Callable[..., Any]] = field(default_factory=dict, repr=False)

    def __call__(self, function: Callable[..., Found], *inputs: Tensor) -> Found:
        inputs = tuple(tensor.to(self.device, non_blocking=True) for tensor in inputs)
        low = self.precision == "bfloat16"
        # Without a cache: a weight that was cast where no gradient is wanted would have none later.
        with torch.no_grad(), torch.autocast(self.device, torch.bfloat16, low, cache_enabled=False):
            return function(*inputs) if not self.compiled else self._compiled(function, inputs)

    def _compiled(self, function: Callable[..., Found], inputs: tuple[Tensor, ...]) -> Found:
        # Seconds of import, which an eager run does not pay.
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

        try:
            return self._graph(function)(*inputs)
        except (TorchDynamoException, FailOnRecompileLimitHit) as error:
            first = " ".join(str(error).split())[:200]
            raise RunError(f"the update cannot be compiled here, use compile=off: {first}") from error

    def _graph(self, function: Callable[..., Found]) -> Callable[..., Found]:
        if function not in self._graphs:  # a method of one agent is another than that of the next
            # On a GPU its launches are recorded once and replayed, for kernels of this size take less
            # time than launching them.
            options: dict[str, Any] = {"triton.cudagraphs": self.device.startswith("cuda")}
            self._graphs[function] = torch.compile(function, fullgraph=True, dynamic=False, options=options)
        return self._graphs[function]


def has_fast_bfloat16(device: str = "cpu") -> bool:
    """Whether bfloat16 products are an instruction there; elsewhere they are slower than float32."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
