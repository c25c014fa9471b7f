"""A task that is its own mirror image: what was seen once was seen twice.

Source: Lin et al. 2020, "Invariant Transform Experience Replay: Data Augmentation for Deep Reinforcement
Learning" (kaleidoscope experience replay).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from robot_orl.errors import UsageError
from robot_orl.types import Array, Signal, Spec

# Of a signal's name: which signal of the same group it is in the mirror, times what, plus what.
Rule = Callable[[str], tuple[str, float, float]]


@dataclass(frozen=True)
class Mirror:
    """Flat observations and actions as they are in the mirror; applied twice, they are as before.

    order, action_order: which signal is the one in the mirror, (D,) and (A,) int64.
    sign, action_sign: 1 or -1, (D,) and (A,) float32.  offset: (D,) float32, in the signals' units.
    """

    order: Array
    sign: Array
    offset: Array
    action_order: Array
    action_sign: Array

    def observation(self, flat: Array) -> Array:
        """(B, D) -> (B, D) float32"""
        return flat.take(self.order, axis=1) * self.sign + self.offset

    def action(self, action: Array) -> Array:
        """(B, A) -> (B, A) float32"""
        return action.take(self.action_order, axis=1) * self.action_sign


def mirror_of(spec: Spec, rule: Rule) -> Mirror:
    """The mirror of a task, from a rule for the names of its signals; actions are not shifted.

    Raises: UsageError: a signal's partner is not in its group, or is not its partner.
    """
    groups = [_reflected(signals, rule) for signals in spec.observation.values()]
    starts = np.cumsum([0, *(len(order) for order, _, _ in groups)])
    action_order, action_sign, _ = _reflected(spec.action, rule)
    return Mirror(
        np.concatenate([order + start for (order, _, _), start in zip(groups, starts, strict=False)]),
        np.concatenate([sign for _, sign, _ in groups]),
        np.concatenate([offset for _, _, offset in groups]),
        action_order,
        action_sign,
    )


def _reflected(signals: Sequence[Signal], rule: Rule) -> tuple[Array, Array, Array]:
    """Order, sign and offset of a group of signals."""
    names = [signal.name for signal in signals]
    partners, signs, offsets = zip(*(rule(name) for name in names), strict=True)
    for name, partner in zip(names, partners, strict=True):
        if partner not in names or rule(partner)[0] != name:
            raise UsageError(f"in the mirror '{name}' is '{partner}', which is not '{name}' there")
    order = np.array([names.index(partner) for partner in partners], np.int64)
    return order, np.array(signs, np.float32), np.array(offsets, np.float32)
