"""The process that answers: it loads a bundle itself, and waits for questions in its ring.

    python -m robot_orl.deploy.processes.policy MEMORY_FD QUESTION_FD ANSWER_FD

    memory   | ring of questions | ring of answers |     rows.py; a doorbell for each

It answers the newest question only, and just before one is due it calls the policy for nothing, so that the
weights are in the caches when the question comes (rhythm.py). An order to swap loads another bundle in a
thread, between whose instructions questions are answered on; from the next question on it acts. It ends
with its stdin, and is killed with its parent even where it hangs.
"""

import ctypes
import logging
import mmap
import os
import select
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.deploy.answers import Answerer, AnswerLayout
from robot_orl.deploy.asking import Reply
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.processes.child import Child, Lines, say, serving
from robot_orl.deploy.processes.rhythm import Rhythm
from robot_orl.deploy.processes.ring import Doorbell, Ring, ring_bytes
from robot_orl.deploy.processes.rows import answer_row, question_row
from robot_orl.deploy.promotion.fitting import load_for
from robot_orl.deploy.realtime import realtime_setup
from robot_orl.deploy.sensors.channel import create_memory
from robot_orl.deploy.timing import NS_PER_S, Clock, RealClock
from robot_orl.errors import DataError
from robot_orl.interrupt import PR_SET_PDEATHSIG
from robot_orl.types import Array, Spec

CAPACITY = 8  # rows; there is one question at a time
END_S = 1.0
SWITCH_S = 5e-4  # how long a question waits for a thread that loads, until that lets go of the interpreter
MODULE = "robot_orl.deploy.processes.policy"


class _Rings:
    """Both rings in the memory behind a file descriptor."""

    def __init__(self, descriptor: int, spec: Spec) -> None:
        self.layout = AnswerLayout(spec.action_size)
        question, answer = question_row(spec.observation_size), answer_row(self.layout.size)
        start = ring_bytes(question, CAPACITY)
        size = start + ring_bytes(answer, CAPACITY)
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
        memory = mmap.mmap(descriptor, size)
        self.questions = Ring(memory, 0, question, CAPACITY)
        self.answers = Ring(memory, start, answer, CAPACITY)


class PolicyProcess:
    """An `Asking` whose answers come from another process, which starts at once."""

    def __init__(
        self,
        bundle: Bundle,
        clock: Clock,
        *,
        shadow: Path | None = None,
        priority: int | None = None,
        cpu: int | None = None,
    ) -> None:
        """priority: SCHED_FIFO priority to ask for there.  cpu: to run on; None: on any."""
        self.asked_ns: int | None = None
        self._clock = clock
        self._memory = create_memory(0)
        self._rings = _Rings(self._memory, bundle.spec)
        self._question, self._answer = Doorbell(), Doorbell()
        self._number = 0
        order = {
            "bundle": str(bundle.path),
            "policy_hash": bundle.policy_hash,
            "shadow": None if shadow is None else str(shadow),
            "priority": priority,
            "cpu": cpu,
        }
        descriptors = (self._memory, self._question.descriptor, self._answer.descriptor)
        self.child = Child("policy", MODULE, order, descriptors)

    def ask(self, flat: Array) -> None:
        questions = self._rings.questions
        self._number += 1
        self.asked_ns = self._clock.now_ns()
        if (slot := questions.claim()) is None:
            return  # it hangs: it will be silent for too long
        questions.columns["number"][slot] = self._number
        questions.columns["asked_ns"][slot] = self.asked_ns
        questions.columns["flat"][slot] = flat
        questions.push()
        self._question.ring()

    def reply(self, until_ns: int) -> Reply | None:
        if self.asked_ns is None:
            return None
        while (reply := self._latest()) is None:
            if not self._answer.wait(until_ns - self._clock.now_ns()):
                return self._latest()
        return reply

    def _latest(self) -> Reply | None:
        """The answer to the question that is open."""
        answers, reply = self._rings.answers, None
        while (slot := answers.oldest()) is not None:
            columns = answers.columns
            if columns["number"][slot] == self._number and self.asked_ns is not None:
                took_ns = int(columns["ended_ns"][slot] - columns["began_ns"][slot])
                reply = Reply(self._rings.layout.unpack(columns["answer"][slot]), self.asked_ns, took_ns)
            answers.pop()
        if reply is not None:
            self.asked_ns = None
        return reply

    def problem(self) -> str | None:
        return self.child.problem()

    def swap(self, path: Path) -> None:
        """Let another bundle act as soon as it is loaded there; answers tell since when."""
        self.child.tell({"swap": str(path)})

    def back(self, number: int) -> None:
        self.child.tell({"back": number})

    def swapped(self) -> list[Mapping[str, Any]]:
        return list(self.child.said())

    def close(self) -> None:
        self.child.end(END_S)
        for doorbell in (self._question, self._answer):
            doorbell.close()
        os.close(self._memory)


# --- in the process itself ------------------------------------------------------------------------------


def main() -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    logging.disable()  # what could not be had of real time is told by our parent
    with serving() as orders:
        order = orders.next()
        if order is None:
            return
        bundle = Bundle.load(order["bundle"])
        if bundle.policy_hash != order["policy_hash"]:
            raise DataError(f"{bundle.path}: changed while it was being loaded; try again")
        answerer = Answerer(bundle, None if order["shadow"] is None else Bundle.load(order["shadow"]))
        sys.setswitchinterval(SWITCH_S)
        with realtime_setup(order["priority"], order["cpu"]) as realtime:
            memory, question, answer = map(int, sys.argv[1:])
            rings = _Rings(memory, bundle.spec)
            say({"ready": {"realtime": realtime.to_dict(), "complaints": realtime.complaints()}})
            _answer(answerer, rings, Doorbell(question), Doorbell(answer), orders)


def _answer(answerer: Answerer, rings: _Rings, question: Doorbell, answer: Doorbell, orders: Lines) -> None:
    clock, rhythm = RealClock(), Rhythm()
    flat = rings.questions.columns["flat"]
    seen = np.zeros(flat.shape[1], np.float32)
    while True:
        rest_ns = rhythm.rest_ns(clock.now_ns())
        rest_s = None if rest_ns is None else rest_ns / NS_PER_S
        ready, _, _ = select.select([question.descriptor, orders.descriptor], [], [], rest_s)
        if not ready:
            answerer.rehearse(seen)
            rhythm.rehearsed()
            continue
        if orders.descriptor in ready:
            if (order := orders.next()) is None:
                return
            if "back" in order:
                answerer.back(order["back"])
            if "swap" in order:
                threading.Thread(target=_swap, args=(answerer, order["swap"]), daemon=True).start()
        question.hush()
        while len(rings.questions) > 1:
            rings.questions.pop()  # a newer one is there
        slot, free = rings.questions.oldest(), rings.answers.claim()
        if slot is None or free is None:
            continue
        began_ns = clock.now_ns()
        found = answerer(flat[slot])
        columns: dict[str, Any] = rings.answers.columns
        columns["ended_ns"][free] = ended_ns = clock.now_ns()
        columns["began_ns"][free] = began_ns
        columns["number"][free] = rings.questions.columns["number"][slot]
        rings.layout.pack(found, columns["answer"][free])
        rings.answers.push()
        answer.ring()
        seen[:] = flat[slot]
        rhythm.heard(int(rings.questions.columns["asked_ns"][slot]), ended_ns - began_ns)
        rings.questions.pop()


def _swap(answerer: Answerer, path: str) -> None:
    """What cannot be loaded, or does not fit, does not act; whoever asked for it is told."""
    try:
        _give_way()
        bundle = load_for(path, answerer.bundle)
    except Exception as error:  # whatever it is, somebody waits for an answer
        say({"bundle": path, "refused": str(error) or type(error).__name__})
        return
    number = answerer.swap(bundle)
    say({"bundle": path, "refused": None, "number": number, "policy_hash": bundle.policy_hash})


def _give_way() -> None:
    """This thread, which is as urgent as the one that answers, and bound to its processor, is neither now."""
    if hasattr(os, "SCHED_RESET_ON_FORK"):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


if __name__ == "__main__":
    main()
