"""The rules that move the weights, of all lanes at once; learning rate and momentum of every step."""

from __future__ import annotations

import torch
from torch import Tensor

from dropout_lab.config.settings import TrainingConfig

BETAS = 0.9, 0.999  # of Adam
RHO = 0.9  # of RMSprop, Keras's default
EPSILON = {"pytorch": 1e-8, "keras": 1e-7}  # each one's default


def learning_rate_and_momentum(config: TrainingConfig, epoch: int, step: int, steps: int) -> tuple[float, float]:
    """Return the learning rate and the momentum of `step` (from 0) in `epoch` (from 1), which has `steps` steps.

    The learning rate is multiplied by `decay` after every epoch, and divided by 1 + t / decay_steps if t steps were
    done before. Momentum rises in equal parts, epoch by epoch (Hinton et al. 2012, appendix A.1).
    """
    learning_rate = config.learning_rate * config.decay ** (epoch - 1)
    if config.decay_steps is not None:
        learning_rate /= 1 + ((epoch - 1) * steps + step) / config.decay_steps
    if config.momentum_start is None:
        return learning_rate, config.momentum
    share = min(1.0, (epoch - 1) / config.momentum_epochs)
    return learning_rate, config.momentum_start + share * (config.momentum - config.momentum_start)


class Optimizer:
    """One rule for all lanes' parameters at once. It works element by element, so lanes do not mix.

    `state` holds tensors (lanes, padded), and "step", a count. Adam calls torch's kernel directly: torch.optim takes a
    second to import, because of torch's compiler, and its checks take a fifth of the kernel's time. The other rules are
    written out as in the papers and in Keras, with the learning rate inside the velocity. Torch multiplies the velocity
    by it later, which is the same if it is constant.
    """

    STATE = {"adam": ("exp_avg", "exp_avg_sq"), "sgd": ("velocity",), "rmsprop": ("square_avg", "velocity")}

    def __init__(self, config: TrainingConfig, parameters: Tensor, gradient: Tensor) -> None:
        self.config, self.parameters, self.gradient = config, parameters, gradient
        moves = bool(config.momentum or config.momentum_start)
        names = [name for name in self.STATE[config.optimizer] if name != "velocity" or moves]
        self.state = {name: torch.zeros_like(parameters) for name in names}
        self.state["step"] = torch.zeros((), device=parameters.device)

    def step(self, learning_rate: float, momentum: float) -> None:
        """Move the parameters once, with this learning rate and momentum."""
        self.state["step"].add_(1)
        {"adam": self._adam, "sgd": self._sgd, "rmsprop": self._rmsprop}[self.config.optimizer](learning_rate, momentum)

    def _adam(self, learning_rate: float, momentum: float) -> None:
        """Kingma & Ba 2015. Keras adds epsilon to the root of the average before its correction for the start at 0."""
        state, epsilon = self.state, EPSILON[self.config.epsilon_form]
        if self.config.epsilon_form == "keras":
            epsilon /= (1 - BETAS[1] ** float(state["step"])) ** 0.5
        torch._fused_adam_(
            [self.parameters], [self.gradient], [state["exp_avg"]], [state["exp_avg_sq"]], [], [state["step"]],
            lr=learning_rate, beta1=BETAS[0], beta2=BETAS[1], eps=epsilon,
            weight_decay=0.0, amsgrad=False, maximize=False,
        )  # fmt: skip

    def _sgd(self, learning_rate: float, momentum: float) -> None:
        """v = momentum v - eta g, w = w + v; Nesterov: w = w + momentum v - eta g (Sutskever et al. 2013).

        eta is the learning rate; dampened, it is multiplied by 1 - momentum (Hinton et al. 2012, appendix A.1).
        """
        if "velocity" not in self.state:
            self.parameters.add_(self.gradient, alpha=-learning_rate)
            return
        if self.config.dampened:
            learning_rate *= 1 - momentum
        velocity = self.state["velocity"].mul_(momentum).add_(self.gradient, alpha=-learning_rate)
        if self.config.nesterov:
            self.parameters.add_(velocity, alpha=momentum).add_(self.gradient, alpha=-learning_rate)
        else:
            self.parameters.add_(velocity)

    def _rmsprop(self, learning_rate: float, momentum: float) -> None:
        """Tieleman & Hinton 2012. Keras adds epsilon to the average of squares, PyTorch to its root."""
        average, epsilon = self.state["square_avg"], EPSILON[self.config.epsilon_form]
        average.mul_(RHO).addcmul_(self.gradient, self.gradient, value=1 - RHO)
        root = (average + epsilon).sqrt_() if self.config.epsilon_form == "keras" else average.sqrt().add_(epsilon)
        if "velocity" not in self.state:
            self.parameters.addcdiv_(self.gradient, root, value=-learning_rate)
            return
        velocity = self.state["velocity"].mul_(momentum).addcdiv_(self.gradient, root, value=-learning_rate)
        self.parameters.add_(velocity)
