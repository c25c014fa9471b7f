"""The rows of the three rings of a deployment. D signals of an observation, A of an action.

    question   main -> policy      number | asked_ns | flat (D,)
    answer     policy -> main      number | began_ns | ended_ns | answer, see `answers.AnswerLayout`
    step       main -> recorder    kind | seed | t_ns | reward | success | safety | ends | actor | reason
                                   | proposed (A,) | operator (A,) | executed (A,) | flat (D,) | state (S,)

int64, reward and state float64, the rest float32, all as C would align it. Of a step row

    kind      filled                                    says
    BEGIN     seed, flat, state                         an episode begins: what was seen there
    STEP      t_ns .. actor, proposed .. state          an action, and what was seen after it
    MARK      safety                                    bits for the last step
    END       reason                                    the episode is over

ends is 1 for terminated, 2 for truncated; success -1 where it is not known; operator NaN where nobody had
taken over; S is 0 without a simulator.
"""

from enum import IntEnum
from typing import Any

import numpy as np

REASON_BYTES = 24
TERMINATED, TRUNCATED = 1, 2
UNKNOWN = -1
_I, _F = np.dtype("<i8"), np.dtype("<f4")


class Kind(IntEnum):
    BEGIN = 0
    STEP = 1
    MARK = 2
    END = 3


def question_row(observation_size: int) -> np.dtype[Any]:
    """number: 1, 2, ...  asked_ns: CLOCK_MONOTONIC."""
    return np.dtype([("number", _I), ("asked_ns", _I), ("flat", _F, (observation_size,))], align=True)


def answer_row(answer_size: int) -> np.dtype[Any]:
    """number: of the question.  began_ns, ended_ns: the policy at work, CLOCK_MONOTONIC."""
    names = [("number", _I), ("began_ns", _I), ("ended_ns", _I), ("answer", _F, (answer_size,))]
    return np.dtype(names, align=True)


def step_row(observation_size: int, action_size: int, state_size: int) -> np.dtype[Any]:
    columns: list[Any] = [
        ("kind", _I),
        ("seed", _I),
        ("t_ns", _I),
        ("reward", "<f8"),
        ("success", _I),
        ("safety", _I),
        ("ends", _I),
        ("actor", _I),
        ("reason", f"S{REASON_BYTES}"),
        ("proposed", _F, (action_size,)),
        ("operator", _F, (action_size,)),
        ("executed", _F, (action_size,)),
        ("flat", _F, (observation_size,)),
        ("state", "<f8", (state_size,)),
    ]
    return np.dtype(columns, align=True)
