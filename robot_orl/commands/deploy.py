"""`robot-orl deploy`: a bundle on a robot, in real time. Loads no PyTorch."""

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from robot_orl.commands.answering import bundles, figures_of, watch_over
from robot_orl.commands.attending import Telling, attended
from robot_orl.commands.tables import out, print_deployment
from robot_orl.config import DeployConfig
from robot_orl.deploy.answers import Answerer
from robot_orl.deploy.asking import AskedHere
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.doctor.result import latest
from robot_orl.deploy.loop import run as control
from robot_orl.deploy.processes.hosting import Hosts, beside, here
from robot_orl.deploy.processes.records import Records
from robot_orl.deploy.promotion.swap import swaps
from robot_orl.deploy.promotion.watch import WatchedAsking, WatchedRecording
from robot_orl.deploy.sharing import Sharing
from robot_orl.deploy.supervisor.stop_page import StopPage, stop_page
from robot_orl.deploy.supervisor.stops import StopRequest, stop_on_signals, stop_sources, terminal
from robot_orl.deploy.timing import RealClock
from robot_orl.errors import RunError, UsageError
from robot_orl.interrupt import Interrupted
from robot_orl.progress import DetachedBar
from robot_orl.registry import factory
from robot_orl.seeds import deployment_seed
from robot_orl.tasks import TaskConfig
from robot_orl.types import Robot

DEAD_MAN_POLL_S = 0.02


def run(cfg: DeployConfig) -> None:
    bundle, shadow = bundles(cfg)
    robot = factory("robot", cfg.robot.name)(cfg.robot, TaskConfig(bundle.task, dict(bundle.task_kwargs)))
    file = figures_file(cfg)
    if not _is_writable(file):
        raise UsageError(f"cannot write {file}; choose another out=")  # before anything moves
    if cfg.swap_file and not Path(cfg.swap_file).absolute().parent.is_dir():
        raise UsageError(f"swap_file={cfg.swap_file}: there is no folder {Path(cfg.swap_file).parent}")
    if cfg.swap_file and Path(cfg.swap_file).exists() and not Path(cfg.swap_file).is_file():
        raise UsageError(f"swap_file={cfg.swap_file} is a folder, a pipe or a device, and no file to be read")
    stop = StopRequest(cfg.dead_man_s)
    keys = terminal()
    with stop_on_signals(stop):  # until all is on the disk: a second Ctrl-C must not cost the record
        with (
            stop_sources(stop, keys, cfg.estop_file, cfg.dead_man_file),
            stop_page(stop, cfg.estop_port, cfg.estop_host) as page,
        ):
            if page is not None:
                out.print(f"STOP button: {page.url}", soft_wrap=True)
            with attended(cfg, robot, bundle, stop) as sharing:
                _await_dead_man(cfg, stop, keys)
                figures, failure = _control(cfg, bundle, shadow, robot, stop, page, sharing)
        _write(file, figures)
    print_deployment(figures)
    if figures["journal"]:
        out.print(figures["journal"])
    out.print(f"written to {file}")
    if figures["fault"]:
        raise RunError(f"deployment stopped by a fault: {figures['fault']}")
    if failure:
        raise RunError(f"the robot was stopped as it should be, but not all was kept: {failure}")
    if figures["stopped_by"] in ("interrupt", "emergency"):
        raise Interrupted(_told(figures))


def _told(figures: dict[str, Any]) -> str:
    """How a run ended that somebody asked to stop."""
    is_emergency, why = figures["stopped_by"] == "emergency", figures["stop_reason"]
    is_said = figures["operator"] is not None and why != "interrupt"
    what = f"emergency stop, {why}" if is_emergency else why if is_said else "interrupted"
    if not figures["connected"]:
        return f"{what}; the robot was not connected"
    if not is_emergency:
        return f"{what}; the robot was stopped and what was recorded is kept"
    return (
        f"{what}; the robot {'is parked' if figures['parked'] else 'holds where it is'}, the record is kept"
    )


def _await_dead_man(cfg: DeployConfig, stop: StopRequest, keys: int | None) -> None:
    """Nothing moves before the dead-man input is held. Says what stops the robot."""
    by_space = cfg.dead_man_s is not None and cfg.dead_man_file is None
    if keys is not None:
        out.print("any other key stops the robot" if by_space else "any key stops the robot")
    if not stop.is_held:
        what = "hold the space bar" if by_space else f"touch {cfg.dead_man_file} again and again"
        out.print(f"{what}: the robot moves only meanwhile")
    while not stop.is_held and not stop.is_set(time.monotonic_ns()):
        time.sleep(DEAD_MAN_POLL_S)


def figures_file(cfg: DeployConfig) -> Path:
    """Where the figures go. What another bundle did is not kept as this one's deployment."""
    return Path(cfg.out) if cfg.out else Path(cfg.bundle) / ("shadow.json" if cfg.shadow else "deploy.json")


def _control(
    cfg: DeployConfig,
    bundle: Bundle,
    shadow: Bundle | None,
    robot: Robot,
    stop: StopRequest,
    page: StopPage | None,
    sharing: Sharing | None,
) -> tuple[dict[str, Any], str | None]:
    """The figures, and why episodes or answers could not be kept, or None."""
    title, ticks = f"deploy: {robot.name}", round(cfg.duration_s * bundle.spec.control_hz)
    hosts = _hosts(cfg, bundle, shadow, robot, stop)
    try:
        asking = hosts.asking or AskedHere(Answerer(bundle, shadow), RealClock())
        watch = watch_over(cfg, asking, figures_file(cfg), bundle.spec.action_size)
        if hosts.cut_off:
            out.print(f"{cfg.record}: {hosts.cut_off}")
        telling = None if sharing is None else Telling(sharing, watch, bundle.spec.control_hz)
        with DetachedBar(title, ticks) as bar, swaps(cfg.swap_file, asking) as told:

            def show(done: int, total: int) -> None:
                bar.done = done
                bar.title = f"{title}, {watch.live}" if watch.live else title
                if telling is not None:
                    telling(done, total)

            report = control(
                robot,
                bundle,
                duration_s=cfg.duration_s,
                seed=deployment_seed(cfg.seed, hosts.episodes),
                realtime_priority=cfg.priority or None,
                cpu=hosts.cpu,
                on_tick=show,
                stop=stop,
                asking=WatchedAsking(asking, watch),
                recording=WatchedRecording(hosts.recording, watch),
                processes=hosts.processes,
                sharing=sharing,
            )
        # Before what is recorded is committed, which may take long.
        why = report.fault or report.stop_reason or "all of its time was used"
        if page is not None:
            page.over(why)
        if sharing is not None and sharing.attendance is not None:
            sharing.attendance.tell_over(why)
    except BaseException:
        hosts.kill()
        raise
    journal, failure = hosts.close()
    answers, unwritten = figures_of(watch, told, bundle, shadow)
    more = {"answers": answers, "journal": journal, "config": asdict(cfg), "host": latest()}
    more["operator"] = None if cfg.operator is None else cfg.operator.name
    return report.to_dict() | more, "; ".join(filter(None, (failure, unwritten))) or None


def _hosts(
    cfg: DeployConfig, bundle: Bundle, shadow: Bundle | None, robot: Robot, stop: StopRequest
) -> Hosts:
    """Who answers and who records: as asked for, and as this system can."""
    records = None
    if cfg.record is not None:
        # Another bundle may take over in the middle of an episode: deploy.json tells which acted when.
        task, policy_hash = bundle.task_kwargs, None if cfg.swap_file else bundle.policy_hash
        who = None if cfg.operator is None else cfg.operator.name
        records = Records(cfg.record, robot.spec, policy_hash, asdict(cfg), task, who)
    if cfg.one_process or not hasattr(os, "eventfd"):
        return here(bundle, records)
    return beside(
        bundle,
        records,
        shadow=None if shadow is None else shadow.path,
        priority=cfg.priority or None,
        should_stop=lambda: stop.is_set(time.monotonic_ns()),
    )


def _is_writable(file: Path) -> bool:
    if file.exists() and (file.is_dir() or not os.access(file, os.W_OK)):
        return False
    return _is_special(file) or os.access(file.parent, os.W_OK)


def _is_special(file: Path) -> bool:
    """A pipe or device such as /dev/null, which must not be replaced by a file."""
    return file.exists() and not file.is_file()


def _write(file: Path, figures: dict[str, Any]) -> None:
    """Whole or not at all. Raises: RunError: it cannot be written."""
    partial = file if _is_special(file) else file.with_name(f"{file.name}.partial")
    try:
        partial.write_text(json.dumps(figures, indent=2) + "\n")
        if partial != file:
            partial.replace(file)
    except OSError as error:
        raise RunError(f"cannot write {file}: {error.strerror}") from error
