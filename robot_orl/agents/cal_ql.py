"""Cal-QL: calibrated Q-learning (Nakamoto et al. 2023, "Cal-QL: Calibrated Offline RL Pre-Training for
Efficient Online Fine-Tuning").

CQL whose penalty presses no action of the policy below what the data's own behaviour earned from there on
(eq. 5.1), so that values begin online on the scale of real returns and nothing has to be unlearned.

The return of an episode that was cut off is not known to its end. What is left is counted as if the lowest
reward went on for ever: so it stays a lower bound of the behaviour's value, which calibration needs.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robot_orl.agents.base import TensorMetrics
from robot_orl.agents.cql import CQL, CQLConfig
from robot_orl.data.sampling.replay import Sampling
from robot_orl.errors import UsageError
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.types import Batch


@dataclass
class CalQLConfig(CQLConfig):
    name: str = setting("cal_ql", "Algorithm.", choices=["cal_ql"])
    backup_actions: int = setting(
        10, "Next actions drawn for a target, which takes the best of them.", low=1, high=1000
    )
    lowest_reward: float = setting(
        -1.0, "Reward of a step that is never undercut; what follows a cut-off episode.", low=-1e6, high=1e6
    )

    def _check_family(self, family: str) -> None:
        super()._check_family(family)
        if 1 in (self.discount, getattr(self, family).discount):
            raise UsageError(
                "cal_ql needs discount < 1: a cut-off episode is worth lowest_reward / (1 - discount)"
            )


@register("agent", "cal_ql", CalQLConfig)
class CalQL(CQL):
    cfg: CalQLConfig

    @property
    def sampling(self) -> Sampling:
        """With returns to the end of each episode."""
        return replace(super().sampling, trace=1.0)

    def update(self, batch: Batch) -> TensorMetrics:
        draw = self.draw(len(batch.action))
        return self.compute(self.step, *self.inputs(batch), *draw, self.floor(batch))

    def floor(self, batch: Batch) -> Tensor:
        """(B,) at most what the behaviour earns in each state."""
        assert batch.returns is not None
        assert batch.tail is not None
        assert self.cfg.discount is not None
        left = self.cfg.lowest_reward / (1 - self.cfg.discount)
        return torch.from_numpy(batch.returns + batch.tail * left)

    def calibrated(self, sampled: Tensor, floor: Tensor | None) -> Tensor:
        """The policy's actions count at least as much as the floor (B,); actions by chance as they are."""
        assert floor is not None
        count = 2 * self.cfg.action_samples
        return torch.cat([torch.maximum(sampled[:, :count], floor), sampled[:, count:]], dim=1)
