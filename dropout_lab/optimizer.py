"""The rules that move the weights: torch.optim's, over all lanes at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from dropout_lab.config import TrainingConfig


class Optimizer:
    """One of torch.optim's rules over all lanes' parameters at once; it works element by element, so lanes do not mix.

    We call the rules in their functional form: the classes import torch's compiler first, which takes a second, and
    with an open state a snapshot is a copy of it. `state` holds tensors (lanes, padded), and "step", a count. Adam's is
    the kernel under its functional form, whose checks cost as much as a fifth of it.
    """

    STATE = {
        "adam": ("exp_avg", "exp_avg_sq"),
        "sgd": ("momentum_buffer",),
        "rmsprop": ("square_avg", "momentum_buffer"),
    }

    def __init__(self, config: TrainingConfig, parameters: Tensor, gradient: Tensor) -> None:
        self.config, self.parameters, self.gradient = config, [parameters], [gradient]
        names = [name for name in self.STATE[config.optimizer] if name != "momentum_buffer" or config.momentum]
        self.state = {name: torch.zeros_like(parameters) for name in names}
        self.state["step"] = torch.zeros((), device=parameters.device)

    def step(self) -> None:
        """Move the parameters once. Betas and epsilon of Adam are PyTorch's; alpha (rho) of RMSprop is Keras's."""
        state, rate, momentum = self.state, self.config.learning_rate, self.config.momentum
        parameters, gradient, count = self.parameters, self.gradient, [state["step"]]
        if self.config.optimizer == "adam":
            state["step"].add_(1)
            torch._fused_adam_(
                parameters, gradient, [state["exp_avg"]], [state["exp_avg_sq"]], [], count,
                lr=rate, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, amsgrad=False, maximize=False,
            )  # fmt: skip
            return
        buffers: list[Tensor | None] = [state.get("momentum_buffer")]
        if self.config.optimizer == "sgd":
            sgd(
                parameters, gradient, buffers, fused=True,
                lr=rate, momentum=momentum, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False,
            )  # fmt: skip
        else:
            rmsprop(
                parameters, gradient, [state["square_avg"]], [], [b for b in buffers if b is not None], count,
                lr=rate, alpha=0.9, eps=1e-7, momentum=momentum, weight_decay=0.0, centered=False,
            )  # fmt: skip
