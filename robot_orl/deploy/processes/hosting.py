"""Who answers and who records: processes beside this one, or this one itself, behind the same words."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robot_orl.data.store.background import BackgroundWriter
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.processes.policy import PolicyProcess
from robot_orl.deploy.processes.recording import RecordingProcess
from robot_orl.deploy.processes.records import Records, open_records
from robot_orl.deploy.promotion.swap import Swappable
from robot_orl.deploy.recording import RecordedHere, Recording
from robot_orl.deploy.timing import RealClock
from robot_orl.errors import RobotOrlError

log = logging.getLogger(__name__)


@dataclass
class Hosts:
    """asking, recording: as `loop.run` takes them; None: this process does it, or nobody.

    cpu: that this process is to keep to, or None.  cut_off, episodes: see `records.Opened`.
    processes: what is to be reported of them.
    """

    asking: Swappable | None = None
    recording: Recording | None = None
    cpu: int | None = None
    cut_off: str | None = None
    episodes: int = 0
    processes: dict[str, Any] = field(default_factory=dict)
    _closing: list[Callable[[], str | None]] = field(default_factory=list)

    def close(self) -> tuple[str | None, str | None]:
        """End them, once the robot is safe. Returns what is to be said of the journal, and the first
        reason why not all was recorded; None: nothing."""
        journal, failure = None, None
        for close in self._closing:
            try:
                journal = close() or journal
            except (RobotOrlError, OSError) as error:  # the others have to end all the same
                failure = failure or str(error)
        return journal, failure

    def kill(self) -> None:
        """As `close`, where something went wrong before: nothing is told."""
        self.close()

    def add(self, close: Callable[[], str | None]) -> None:
        self._closing.append(close)


def here(bundle: Bundle, records: Records | None) -> Hosts:
    """All in this process."""
    hosts = Hosts()
    if records is not None:
        opened = open_records(records)
        hosts.recording = RecordedHere(records.spec, records.policy_hash, opened.writer, records.beside)
        hosts.cut_off, hosts.episodes = opened.cut_off, opened.episodes
        hosts.add(lambda: _closed(opened.writer))
    return hosts


def _closed(writer: BackgroundWriter) -> str | None:
    writer.close()
    return writer.journals.told() if writer.journals is not None else None


def beside(
    bundle: Bundle,
    records: Records | None,
    *,
    shadow: Path | None = None,
    priority: int | None,
    should_stop: Callable[[], bool],
) -> Hosts:
    """A process that answers and, if there is something to record, one that records; both are ready.

    priority: what this process asks for; the one that answers asks for one less.
    Raises: UsageError, RunError: one of them cannot begin, and says why; both are gone.
    """
    hosts = Hosts()
    hosts.cpu, other = processors(priority)
    try:
        recording = None if records is None else RecordingProcess(records)
        if recording is not None:
            hosts.recording = recording
            hosts.add(recording.close)
        below = None if priority is None else max(1, priority - 1)
        policy = PolicyProcess(bundle, RealClock(), shadow=shadow, priority=below, cpu=other)
        hosts.asking = policy
        hosts.add(policy.close)
        if recording is not None and recording.child.wait(should_stop):
            hosts.cut_off = recording.child.ready["cut_off"]
            hosts.episodes = recording.child.ready["episodes"]
            hosts.processes["recorder"] = {"pid": recording.child.pid}
        if policy.child.wait(should_stop):
            said = policy.child.ready
            hosts.processes["policy"] = {"pid": policy.child.pid, "realtime": said["realtime"]}
            for complaint in said["complaints"]:
                log.warning("no real-time %s, of the policy's process", complaint)
    except BaseException:
        hosts.kill()
        raise
    return hosts


def processors(priority: int | None) -> tuple[int | None, int | None]:
    """The one for this process and the one for the policy's, where there is more than one.

    None for both without real-time scheduling: who has to wait for its turn had better go wherever there is
    one free.
    """
    if priority is None or not hasattr(os, "SCHED_RESET_ON_FORK") or not _may_be_realtime(priority):
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[-1], usable[-2]) if len(usable) > 1 else (None, None)  # the first takes most interrupts


def _may_be_realtime(priority: int) -> bool:
    before, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError:
        return False
    os.sched_setscheduler(0, before, parameters)
    return True
