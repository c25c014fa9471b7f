"""What is wrong with data that are to be learned from: refused where nothing sensible can come of it,
otherwise a remark before training. Most odd data are still good for something.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from robot_orl.data.sampling.replay import Replay
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.errors import DataError, UsageError
from robot_orl.types import Array, Episode, Signal, Spec

RATE_TOLERANCE = 0.2
FEW = 5  # steps that are too few to say that an action never changes
GOAL_EPISODES = 20  # whose rewards are compared with the task's
GOAL_TOLERANCE = 0.01  # share of steps: thresholds in single precision
LARGE = 1e4  # values that networks which begin near zero take long to reach
RELABEL = "`robot-orl dataset relabel path={} where='length > 0' reason=... reward=task`"
NEEDS_STATES = ", which needs simulator states"


def require_finite(episode: Episode, spec: Spec, what: str) -> None:
    """what: names the episode. Raises: DataError: names the signal that is NaN or infinite, and where."""
    named = [(f"observation '{key}'", signals, episode.obs[key]) for key, signals in spec.observation.items()]
    for name, signals, values in (*named, ("action", spec.action, episode.action)):
        rows = values.reshape(len(values), -1)
        if not np.isfinite(rows).all():
            step, column = (int(found[0]) for found in np.nonzero(~np.isfinite(rows)))
            raise DataError(
                f"{what}: {name} {signals[column].name} is {rows[step, column]} at step {step}; leave it out "
                "with where=..., or `robot-orl dataset delete` it"
            )


def differences(wanted: Spec, found: Spec) -> list[str]:
    """In words, what of `found` is not as in `wanted`; cameras do not count."""
    said = []
    if found.control_hz != wanted.control_hz:
        said.append(f"it runs at {found.control_hz:g} Hz, not {wanted.control_hz:g}")
    said += _signals("action", wanted.action, found.action)
    for key in dict.fromkeys([*wanted.observation, *found.observation]):
        name = f"observation '{key}'"
        if key not in found.observation:
            said.append(f"it has no {name}")
        elif key not in wanted.observation:
            said.append(f"it has {name} besides")
        else:
            said += _signals(name, wanted.observation[key], found.observation[key])
    if not said and list(found.observation) != list(wanted.observation):
        said.append("its observations come in another order")
    for name in ("horizon", "achieved_goal", "desired_goal"):
        if getattr(found, name) != getattr(wanted, name):
            said.append(f"its {name} is {getattr(found, name)}, not {getattr(wanted, name)}")
    return said


def _signals(name: str, wanted: Sequence[Signal], found: Sequence[Signal]) -> list[str]:
    if len(found) != len(wanted):
        return [f"its {name} has {len(found)} signals, not {len(wanted)}"]
    odd = [mine.name for mine, other in zip(found, wanted, strict=True) if mine != other]
    return [f"signal {odd[0]} of its {name} has another name, unit or range"] if odd else []


def check_data(datasets: Sequence[Dataset], replay: Replay, agent: Any) -> list[str]:
    """Remarks, a line each. agent: its configuration.

    Raises: UsageError: this agent cannot learn from these rewards as it is set.  DataError: nothing can be
    learned from these actions.
    """
    records = [record for dataset in datasets for record in dataset.episodes]
    said = [*_actions(replay), *_rates(datasets)]
    if len(records) == 1:
        said.append("there is 1 episode only: at best, a policy repeats it")
    if has_critics(agent):
        require_rewards(replay, agent, datasets[0].path)
        said += _outcomes(records, replay)
        said += _scale(replay, agent)
    return said


def has_critics(agent: Any) -> bool:
    """Whether an agent of this configuration values actions, so that rewards matter."""
    return hasattr(agent, "discount")


def require_rewards(replay: Replay, agent: Any, path: object) -> None:
    """path: of the data. Raises: UsageError: names the setting, or the tool that mends the data."""
    low, high = float(replay.rewards().min()), float(replay.rewards().max())
    stored = f"the rewards of the data lie in {low:.4g} .. {high:.4g}"
    online = getattr(agent, "online", None)
    share = max(getattr(config, "hindsight_share", None) or 0.0 for config in (agent, online))
    tolerance = getattr(agent, "goal_tolerance", 1.0)
    relabels = share > 0 and replay.reward_for is not None
    if relabels and not _pays_as_task(replay):
        raise UsageError(
            f"{stored} and are not what the task pays for these goals, as agent.hindsight_share={share:g} "
            f"will do for others: {RELABEL.format(path)} recomputes them, or set agent.hindsight_share=0"
        )
    if relabels and tolerance < 1 and len(np.unique(replay.rewards())) > 2:
        raise UsageError(
            f"{stored} and take more than two values, and agent.goal_tolerance={tolerance:g} is for rewards "
            "that only tell whether a goal is reached: set agent.goal_tolerance=1"
        )
    if getattr(agent, "bound_targets", False) and (low < -1 or high > 0):
        raise UsageError(
            f"{stored}, and agent.bound_targets=true is for -1 .. 0: set agent.bound_targets=false, or pay "
            f"as the task does with {RELABEL.format(path)}{'' if replay.reward_for else NEEDS_STATES}"
        )
    lowest = getattr(agent, "lowest_reward", low)
    if low < lowest:
        raise UsageError(
            f"{stored}, and agent.lowest_reward={lowest:g} is above that: returns of cut-off episodes "
            "would be no lower bound; set agent.lowest_reward to the lowest reward of the task"
        )


def _pays_as_task(replay: Replay) -> bool:
    """Whether the stored rewards are those of the stored goals, in a few episodes."""
    assert replay.reward_for is not None
    spec, odd, steps = replay.spec, 0, 0
    achieved, desired = spec.slice_of(str(spec.achieved_goal)), spec.slice_of(str(spec.desired_goal))
    few = np.unique(np.linspace(0, replay.episodes - 1, GOAL_EPISODES).astype(int))
    for part in replay.trajectories(few):
        paid = replay.reward_for(part.obs[1:, achieved], part.obs[1:, desired])
        odd += int((np.abs(paid - part.reward) > 1e-3).sum())
        steps += len(part.reward)
    return odd <= GOAL_TOLERANCE * steps


def _actions(replay: Replay) -> Iterator[str]:
    action, signals = replay.actions(), replay.spec.action
    low, high = action.min(axis=0), action.max(axis=0)
    constant = low == high
    if constant.all() and len(action) >= FEW:
        raise DataError(
            f"every action is the same in all {len(action):,} steps: nothing can be learned from these data"
        )
    if constant.any() and len(action) >= FEW:
        dead = [f"{s.name} ({at:g})" for s, at, same in zip(signals, low, constant, strict=True) if same]
        said = f"{_listed('action', dead)} never changes: what it does cannot be learned from these data"
        yield said if len(dead) == 1 else said.replace("changes: what it does", "change: what they do")
    largest: Array = np.maximum(-low, high)
    if (largest > 1 + 1e-6).any():
        wide = [f"{s.name} (up to {at:.3g})" for s, at in zip(signals, largest, strict=True) if at > 1 + 1e-6]
        yield f"outside of -1 .. 1, where no policy acts: {_listed('action', wide)}"


def _listed(noun: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{noun}{'s' if len(names) > 1 else ''} {', '.join(names[:4])}{more}"


def _rates(datasets: Sequence[Dataset]) -> Iterator[str]:
    for dataset in datasets:
        declared = dataset.spec.control_hz
        rates = [record.rate_hz for record in dataset.episodes if record.rate_hz is not None]
        off = [rate for rate in rates if abs(rate / declared - 1) > RATE_TOLERANCE]
        if off:
            yield (
                f"{dataset.path}: {len(off):,} of {len(dataset.episodes):,} episodes ran at another rate "
                f"(median {float(np.median(off)):.3g} Hz) than the {declared:g} Hz of the task"
            )


def _outcomes(records: Sequence[EpisodeRecord], replay: Replay) -> Iterator[str]:
    known = [record.meta for record in records if record.meta.success is not None]
    whole = len(known) == len(records) > 0
    if whole and not any(meta.success for meta in known):
        some = sum(bool(meta.success_any) for meta in known)
        passing = f" ({some:,} do in between)" if some else ""
        yield (
            f"none of {len(known):,} episodes succeeds at its end{passing}: offline training has little to "
            "go by, finetuning may find more"
        )
    elif whole and all(meta.success for meta in known) and len(known) > 1:
        yield (
            f"all {len(known):,} episodes succeed: with nothing to tell good from bad, expect little more "
            "than cloning gives"
        )
    elif np.ptp(replay.rewards()) == 0:
        yield f"every reward is {replay.rewards()[0]:g}: no step is better than another"


def _scale(replay: Replay, agent: Any) -> Iterator[str]:
    largest = float(np.abs(replay.rewards()).max())
    if agent.discount < 1 and (most := largest / (1 - agent.discount)) >= LARGE:
        yield (
            f"rewards of up to {largest:.4g} can sum up to {most:.4g}: critics take long to learn such "
            "numbers; smaller ones, or a smaller agent.discount, do better"
        )
