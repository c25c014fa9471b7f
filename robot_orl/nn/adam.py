"""PyTorch's Adam (Kingma & Ba 2015), whose step can be part of a compiled graph."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


class Adam:
    """weight_decay: of the L2 kind, added to the gradient."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float = 0.0
    ) -> None:
        self.parameters: list[Tensor] = list(parameters)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self._optimizer = torch.optim.Adam(
            self.parameters, learning_rate, weight_decay=weight_decay, fused=True
        )
        for parameter in self.parameters:  # a graph cannot make what a first step would
            self._optimizer.state[parameter] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        self._gather()

    def _gather(self) -> None:
        states = [self._optimizer.state[parameter] for parameter in self.parameters]
        self._steps = [state["step"] for state in states]
        self._means = [state["exp_avg"] for state in states]
        self._squares = [state["exp_avg_sq"] for state in states]

    def descend(self, gradients: list[Tensor]) -> None:
        """One step. gradients: of the parameters, in their order."""
        if torch.compiler.is_compiling():  # written out, so that it is fused with what is around it
            # Weight decay by hand: PyTorch 2.13 compiles a matrix product plus `alpha` times a weight as if
            # alpha were 1.
            decay = self.weight_decay
            pairs = zip(self.parameters, gradients, strict=True)
            whole = [gradient + decay * weight for weight, gradient in pairs] if decay else gradients
            # fmt: off
            adam(
                self.parameters, whole, self._means, self._squares, [], self._steps,
                foreach=False, capturable=True, amsgrad=False, beta1=0.9, beta2=0.999,
                lr=self.learning_rate, weight_decay=0.0, eps=1e-8, maximize=False,
            )
            # fmt: on
            return
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return self._optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """But for the settings, which stay those that it was made with: finetuning may change them."""
        settings = [
            {k: v for k, v in group.items() if k != "params"} for group in self._optimizer.param_groups
        ]
        self._optimizer.load_state_dict(deepcopy(state))  # it would keep the tensors of who gave it
        for group, own in zip(self._optimizer.param_groups, settings, strict=True):
            group.update(own)
        self._gather()

    def follow(self) -> None:
        """The parameters were moved to another device."""
        self.load_state_dict(self.state_dict())
