"""What passes between a person and a recording session, whatever the person holds.

keyboard, browser, ... --Jog--> steering: the task's action --> rollout
        |             --Order--> session: idle, recording, reviewing ...
        <-------------Status---- what is to be shown
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import gymnasium

from data_collection.teleop.settings import PersonConfig
from data_collection.viewer.takes import Take
from robot_orl.types import Array, Episode


class Verb(StrEnum):
    """What a person can ask of the session."""

    START = "start"  # record; while reviewing: save, and record the next
    STOP = "stop"  # end the episode as it is
    SUCCESS = "success"  # label it; while recording this ends it too
    FAILURE = "failure"
    QUALITY = "quality"  # value: 1 .. 5
    SAVE = "save"
    DISCARD = "discard"
    REDO = "redo"  # discard, and begin again from the same start
    UNDO = "undo"  # take the last saved episode back
    NOTE = "note"  # value: text
    TRIM = "trim"  # value: (first step, step behind the last) of those that are kept, while reviewing
    SEED = "seed"  # value: of the next start; None: any other
    INSTRUCTION = "instruction"  # value: text, of the next episodes
    QUIT = "quit"
    HALT = "halt"  # a deployed robot, at once; from any page, however old its picture is
    PAUSE = "pause"  # learning, while a policy is finetuned
    RESUME = "resume"
    CHECKPOINT = "checkpoint"  # now


Value = int | str | tuple[int, int] | None


@dataclass(frozen=True)
class Order:
    """value: see `Verb`; None where it needs none."""

    verb: Verb
    value: Value = None


@dataclass(frozen=True, eq=False)
class Jog:
    """Where hands push at this moment, in shares [-1, 1] of the greatest speed.

    linear: (3,) forward, left and up in the frame that the steering is set to.  angular: (3,) roll, about
    where the tool points; pitch, positive tilts it down; yaw; of these a task has what `turns_of` says.
    gripper: 1 opens, -1 closes, and it goes on until the other is said; 0 leaves it at that.
    joints: (A,) what the action's signals are to become, in tasks that have no tool; None: no word of them.
    turned: (J,) how far a leader's joints are from where it was taken hold of [rad]; None: it is no leader.
    Letting go is not a Jog of zeros but None: nobody acts.
    """

    linear: Array
    angular: Array
    gripper: float = 0.0
    joints: Array | None = None
    turned: Array | None = None


@dataclass(frozen=True)
class Status:
    """What hands show. All numbers are of this session.

    state: of the session.  step, horizon: of the episode.  success: as the task sees it now.
    good, episodes, target: saved successful ones, saved in all, and how many good ones are wanted.
    rate_hz, lag_ms: achieved control rate and how late the latest tick was.  warning: a line that says why
    what is recorded now would mislead a learner; "" for none.  label: what the person has said so far, see
    `session.Label`.  seed: of the start that is shown.
    places: of tool, object and goal, as far as the task observes them: x, y, z in the world [m].
    deployment: what is told of a deployed policy, see `robot_orl.deploy.attendance`; empty: none is.
    """

    state: str
    step: int = 0
    horizon: int = 0
    success: bool = False
    good: int = 0
    episodes: int = 0
    target: int = 0
    rate_hz: float = 0.0
    lag_ms: float = 0.0
    instruction: str = ""
    said: str = ""
    warning: str = ""
    label: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    places: Mapping[str, Sequence[float]] = field(default_factory=dict)
    deployment: Mapping[str, Any] = field(default_factory=dict)


class Hands(Protocol):
    """A device that a person holds. Every call returns at once; the loop never waits for a person here.

    allowed: verbs that make sense now, for buttons and legends.
    """

    def open(self) -> None:
        """Raises: UsageError: it cannot be used here, and why."""

    def jog(self) -> Jog | None:
        """What it says now; None: hands off."""

    def orders(self) -> Sequence[Order]:
        """Those given since the last call, in their order."""

    def present(self) -> bool:
        """Whether there is still somebody: no longer after a lost terminal or a closed page.

        What is being recorded then ends as 'disconnect' and is saved. Somebody may come back; hands to which
        nobody can come back order QUIT besides.
        """

    def show(self, status: Status, allowed: Sequence[Verb]) -> None:
        """May be called at every tick; draws as often as it likes."""

    def close(self) -> None:
        """Works from any state, more than once; leaves the terminal, port or device as it was."""


@runtime_checkable
class Remote(Protocol):
    """Hands that may fall silent while somebody is there, whom `present` waits for. Both return at once."""

    def heard(self) -> bool:
        """Whether somebody is heard of now."""

    def cut_off(self) -> bool:
        """Whether hands were on until nobody was heard of: they have not let go."""


@runtime_checkable
class Onlooker(Protocol):
    """Hands that draw the simulation, too. Both are called by the loop, so they copy what they need."""

    def watch(self, model: Any, data: Any) -> None:
        """Once, before `open`: MuJoCo's MjModel and MjData."""

    def moved(self, data: Any) -> None:
        """After every reset and step."""


@runtime_checkable
class Reviewer(Protocol):
    """Hands that show an episode once it is recorded."""

    def review(self, take: Take) -> None:
        """Every moment of it was just given to `moved`, if these are an Onlooker's; its own are not known."""


@runtime_checkable
class Overseeing(Protocol):
    """Hands that show how learning goes while a policy is finetuned."""

    def oversee(self, board: int, board_bytes: int) -> None:
        """Before `open`: the descriptor of what a learner publishes, see `training.online.desk.Seat`."""

    def keep(self, number: int, env: Any, episode: Episode) -> None:
        """An episode that may be seen again; leaves the task at its end. number: that it is asked for by."""


@runtime_checkable
class Interactive(Protocol):
    """An operator=... that is a person: `collect` holds a recording session with it, see `drive`.

    It is made as every operator, from its config and the task's spec; its config is a PersonConfig.
    """

    name: str
    cfg: PersonConfig

    def make_hands(self, env: gymnasium.Env[Any, Any], alone: bool = False) -> Hands:
        """The device, not opened yet.

        alone: without the terminal's screen and keys, which belong to somebody else.
        Raises: UsageError: it cannot be used with this task, or not alone.
        """
