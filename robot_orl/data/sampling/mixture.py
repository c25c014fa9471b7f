"""Batches from old and new data: a fixed share offline, the rest online (Ball et al. 2023, RLPD)."""

from dataclasses import dataclass, fields, replace

import numpy as np

from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.types import Batch


@dataclass
class Mixture:
    """offline_share: share of each batch from `offline`; all of it while `online` is empty."""

    offline: Replay
    online: Replay
    offline_share: float = 0.5

    def offline_count(self, batch_size: int) -> int:
        """How many transitions of a batch come from `offline`."""
        return round(batch_size * self.offline_share) if len(self.online) else batch_size

    def sample(self, sampling: Sampling, rng: np.random.Generator) -> Batch:
        count = self.offline_count(sampling.batch_size)
        if count == sampling.batch_size:
            return self.offline.sample(sampling, rng)
        new = self.online.sample(replace(sampling, batch_size=sampling.batch_size - count), rng)
        if count == 0:
            return new
        old = self.offline.sample(replace(sampling, batch_size=count), rng)
        return Batch(*(np.concatenate([getattr(old, f.name), getattr(new, f.name)]) for f in fields(Batch)))
