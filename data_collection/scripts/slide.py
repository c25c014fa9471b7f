"""Hit the puck so that it slides to the goal, which lies out of the hand's reach, and stops there.

The puck's friction, as the simulator computes it (a friction pyramid with edges along x and y): all of
the deceleration D acts on the faster of the two velocity components; once they are equal each gets D/2.
A puck that starts with v_x >= v_y >= 0 therefore slides (v_x^2 + v_y^2) / 2D along x and v_x v_y / D along
y. Inverted: v_x + v_y = sqrt(2D (x + y)) and v_x - v_y = sqrt(2D (x - y)), see `launch_velocity`.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from data_collection.scripts.fetch import CLOSE, STEP_S, FetchView, move
from robot_orl.types import Array

DECELERATION_M_S2 = 0.981  # friction coefficient 0.1 times gravity
HIT_SPEED_M_S = 0.91  # speed that a full action gives the resting puck in touch; measured 0.9-0.98
RUN_SPEED_M_S = 1.15  # the same where the hand runs up and hits a puck that it has already set in motion
RUN_UP_M = 0.011  # gap of that run-up: the hand meets the puck at the end of its first step
PUCK_RADIUS_M = 0.025
GAP_M = 0.001  # left between hand and puck while aiming
FINGER_M = np.array([0.0135, 0.0149])  # half width of the closed fingers along x and y
TRAVEL_HEIGHT_M = 0.05  # of the hand over the puck's centre while it goes around
WIND_UP_M = 0.02  # gap from which the hand starts its aim
AIMED_M = 0.002  # error of the hand's place at which it hits: 1 mm aside turns the puck by 2 degrees
PATIENCE = 8  # steps of aiming after which a shaking hand hits anyway
SETTLED_M_S = 0.04  # hand speed at which it hits: a moving hand hits harder
IN_TOUCH_M = 0.02  # gap that the hand still closes within a step
TOLERANCE_M = 0.015  # predicted miss (success is 0.05) that is not worth another touch
REACH_X_M = 1.3  # the arm is stretched out here


class Phase(Enum):
    GO_BEHIND = "move over the point behind the puck, seen from the goal"
    DESCEND = "go down there"
    AIM = "touch the puck where it has to be hit"
    HIT = "give it the speed that takes it to the goal; correct while in touch"
    WATCH = "stand still"


@dataclass(frozen=True)
class Shot:
    """What it takes to send the puck to the goal from where both are now.

    launch: velocity that the puck needs [m/s], (2,).  direction: of what it still lacks, (2,) unit.
    to_touch, to_aim, to_start: from the hand to where it touches the puck, to where it takes aim (farther
    back where the hit needs a run-up), and to where it comes down behind the puck [m], (3,) each.
    """

    launch: Array
    direction: Array
    to_touch: Array
    to_aim: Array
    to_start: Array

    @classmethod
    def plan(cls, view: FetchView) -> "Shot":
        to_goal = (view.goal - view.object)[:2]
        # Within the step of the hit itself the puck already moves at the launch velocity.
        launch = launch_velocity(to_goal - STEP_S * launch_velocity(to_goal))
        lacking = launch - view.object_velocity[:2]
        direction = lacking / max(float(np.linalg.norm(lacking)), 1e-6)
        to_touch = touching_place(view.object, direction) - view.grip
        run_up = RUN_UP_M if np.abs(launch).max() > HIT_SPEED_M_S else 0.0
        to_aim = to_touch - np.append(run_up * direction, 0.0)
        to_start = to_touch - np.append(WIND_UP_M * direction, 0.0)
        return cls(launch, direction, to_touch, to_aim, to_start)

    def is_out_of_touch(self) -> bool:
        """Is the puck too far ahead of the hand, or too far beside it, to be hit in the next step?"""
        ahead = float(self.to_touch[:2] @ self.direction)
        beside = float(abs(self.to_touch[0] * self.direction[1] - self.to_touch[1] * self.direction[0]))
        return ahead > IN_TOUCH_M or beside > 0.5 * PUCK_RADIUS_M


class Slide:
    """go behind -> descend -> aim -> hit -> watch; a puck that stopped short in reach is hit again."""

    carrying = False
    flaw_share = 0.5  # a game of precision: with all flaws nearly no puck would come near its goal

    def __init__(self) -> None:
        self.phase = Phase.GO_BEHIND
        self.aiming = 0

    def action(self, view: FetchView) -> Array:
        """The intended action (4,), unclipped."""
        shot = Shot.plan(view)
        self.aiming = self.aiming + 1 if self.phase is Phase.AIM else 0
        self.phase = self._next_phase(view, shot)

        if self.phase is Phase.GO_BEHIND:
            return move(self._around(shot.to_start, view), CLOSE)
        if self.phase is Phase.DESCEND:
            return move(shot.to_start, CLOSE)
        if self.phase is Phase.AIM:
            return move(shot.to_aim, CLOSE)
        if self.phase is Phase.HIT:
            return self._hit(view, shot)
        return move(np.zeros(3), CLOSE)

    def _next_phase(self, view: FetchView, shot: Shot) -> Phase:
        if self.phase is Phase.GO_BEHIND and np.hypot(*shot.to_start[:2]) < 0.01:
            return Phase.DESCEND
        if self.phase is Phase.DESCEND and abs(shot.to_start[2]) < 0.01:
            return Phase.AIM
        if self.phase is Phase.AIM:
            settled = np.linalg.norm(view.grip_velocity) < SETTLED_M_S
            aimed = settled and np.hypot(*shot.to_aim[:2]) < AIMED_M
            return Phase.HIT if aimed or self.aiming > PATIENCE else Phase.AIM

        miss = float(np.linalg.norm((view.goal - resting_place(view))[:2]))
        is_sliding = np.linalg.norm(view.object_velocity[:2]) > 0.05
        if self.phase is Phase.HIT and is_sliding and (miss < TOLERANCE_M or shot.is_out_of_touch()):
            return Phase.WATCH
        in_reach = view.object[0] < REACH_X_M
        if self.phase is Phase.WATCH and not is_sliding and in_reach and miss > 2 * TOLERANCE_M:
            return Phase.GO_BEHIND
        return self.phase

    def _around(self, to_start: Array, view: FetchView) -> Array:
        """Up first where the hand is low, so that it passes over the puck."""
        path = to_start + [0.0, 0.0, TRAVEL_HEIGHT_M]
        if view.grip[2] - view.object[2] < 0.7 * TRAVEL_HEIGHT_M:
            path[:2] = 0.0
        return path

    def _hit(self, view: FetchView, shot: Shot) -> Array:
        in_motion = np.linalg.norm(view.object_velocity[:2]) > 0.3
        motion = shot.launch / (RUN_SPEED_M_S if in_motion else HIT_SPEED_M_S)
        action = move(shot.to_touch, CLOSE)
        action[:2] = motion / max(1.0, np.abs(motion).max())  # scaled, not clipped: it must not turn
        return action


def launch_velocity(displacement: Array) -> Array:
    """Velocity (2,) [m/s] with which the puck slides by `displacement` (2,) [m] and stops there."""
    size = np.abs(displacement)
    total = np.sqrt(2.0 * DECELERATION_M_S2 * size.sum())
    difference = np.sqrt(2.0 * DECELERATION_M_S2 * abs(size[0] - size[1]))
    fast, slow = (total + difference) / 2.0, (total - difference) / 2.0
    return np.sign(displacement) * ([fast, slow] if size[0] >= size[1] else [slow, fast])


def resting_place(view: FetchView) -> Array:
    """Where the puck comes to rest if nothing touches it any more, (3,) [m]."""
    velocity = np.abs(view.object_velocity[:2])
    along_fast = (velocity**2).sum() / (2.0 * DECELERATION_M_S2)
    along_slow = velocity.prod() / DECELERATION_M_S2
    slid = [along_fast, along_slow] if velocity[0] >= velocity[1] else [along_slow, along_fast]
    return view.object + np.append(np.sign(view.object_velocity[:2]) * slid, 0.0)


def touching_place(puck: Array, direction: Array) -> Array:
    """Where the hand's corner touches the puck on the side away from `direction` (2,), (3,) [m]."""
    # An edge of the fingers pushes along the line from the edge to the puck's centre.
    return puck - np.append((PUCK_RADIUS_M + GAP_M) * direction + FINGER_M * np.sign(direction), 0.0)
