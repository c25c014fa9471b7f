"""Batches from old and new data: a fixed share offline, the rest online (Ball et al. 2023, RLPD).

    | offline_share                                  | the rest                              |
    | demonstrations      | steps of interventions   | all online steps, interventions too   |
                            intervention_share of it

What people did when they took over counts as a demonstration (Luo et al. 2024, HIL-SERL, section IV-B).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.types import Actor, Batch


@dataclass
class Mixture:
    """offline_share: share of each batch from `offline`; all of it while `online` is empty.

    intervention_share: share of that which comes from steps of `online` in which somebody had taken over; of
    a batch there are never more of them than there are such steps, so that few are not learned by heart.
    """

    offline: Replay
    online: Replay
    offline_share: float = 0.5
    intervention_share: float = 0.0

    def offline_count(self, batch_size: int) -> int:
        """How many transitions of a batch are of the demonstrations' side."""
        return round(batch_size * self.offline_share) if len(self.online) else batch_size

    def intervention_count(self, batch_size: int) -> int:
        """How many of these are of interventions."""
        wanted = round(self.offline_count(batch_size) * self.intervention_share)
        return min(wanted, len(self.online.steps_by(Actor.INTERVENTION))) if wanted else 0

    def parts(self, batch_size: int) -> tuple[dict[str, int], dict[str, float]]:
        """Steps of the replay, and shares of a batch: offline, of interventions, and online, of which those
        are a part that batches have besides."""
        steps, helped = len(self.online.steps_by(Actor.INTERVENTION)), self.intervention_count(batch_size)
        demonstrations = self.offline_count(batch_size)
        held = {"offline": len(self.offline), "online": len(self.online) - steps, "interventions": steps}
        drawn = {"offline": demonstrations - helped, "online": batch_size - demonstrations}
        drawn["interventions"] = helped
        return held, {name: count / batch_size for name, count in drawn.items()}

    def sample(self, sampling: Sampling, rng: np.random.Generator) -> Batch:
        size = sampling.batch_size
        helped = self.intervention_count(size)
        old = self.offline_count(size) - helped
        parts = []  # drawn from the back, as mixtures were before there were interventions
        if old + helped < size:
            parts.append(self.online.sample(replace(sampling, batch_size=size - old - helped), rng))
        if helped:
            steps = self.online.steps_by(Actor.INTERVENTION)
            parts.append(self.online.gather(steps[rng.integers(len(steps), size=helped)], sampling, rng))
        if old:
            parts.append(self.offline.sample(replace(sampling, batch_size=old), rng))
        return joined(parts[::-1])


def joined(parts: Sequence[Batch]) -> Batch:
    """One batch of several, in their order."""
    if len(parts) == 1:
        return parts[0]
    names = parts[0].arrays()
    return Batch(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
