"""`deploy operator=...`: what somebody beside the robot may order, and what happens when nobody is there."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
from browsers import chromium
from children import child
from deploy_toys import FakeClock, Kept, MakeBundle, ToyRobot
from websockets.sync.client import connect

import envs  # noqa: F401  registers the tasks
from robot_orl.cli import main
from robot_orl.data.store.reader import Dataset
from robot_orl.deploy.attendance import Attendance, Person
from robot_orl.deploy.loop import run
from robot_orl.deploy.sharing import Sharing
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.stops import StopRequest
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.types import Actor, Spec

PATIENCE_S = 60.0
MS = 1_000_000


class Somebody:
    """Stands by. is_there, is_heard, is_cut_off: as `present`, `heard` and `cut_off` tell.
    calls: what was asked of them.  says: orders for the next."""

    name = "browser"

    def __init__(self) -> None:
        self.hear: Any = None
        self.allowed: Any = ()
        self.deployment: Any = {}
        self.is_there = self.is_heard = True
        self.is_cut_off = False
        self.calls: list[str] = []
        self.says: list[str] = []

    def present(self) -> bool:
        return self.is_there

    def heard(self) -> bool:
        return self.is_heard

    def cut_off(self) -> bool:
        return self.is_cut_off

    def listen(self) -> None:
        self.calls.append("listen")
        while self.says:
            self.hear(SimpleNamespace(verb=self.says.pop(0)))

    def idle(self) -> None:
        self.listen()
        self.calls[-1:] = ["idle"]


class Nobody:
    """Never takes over."""

    name, env, actor, steps = "nobody", None, Actor.INTERVENTION, None

    def begin(self, rng: Any) -> None: ...

    def action(self, obs: Any) -> None: ...

    def executed(self, action: Any) -> None: ...


def attended(is_needed: bool = True) -> tuple[Somebody, StopRequest, Attendance]:
    person, stop = Somebody(), StopRequest()
    assert isinstance(person, Person)
    return person, stop, Attendance(person, stop, is_needed)


@pytest.mark.parametrize("verb", ["halt", "stop"])
def test_a_halt_is_an_emergency_at_once_whatever_the_robot_does(verb: str) -> None:
    person, stop, attendance = attended()
    for is_playing in (True, False):
        attendance.is_playing, attendance.is_over = is_playing, not is_playing
        person.says = [verb]
        stop.reason, stop.is_emergency = None, False
        assert stop.is_set((1 + is_playing) * 1_000 * MS)
        assert (stop.is_emergency, stop.reason) == (True, "STOP by operator=browser")


def test_to_quit_ends_the_run_and_does_not_keep_the_robot_from_lying_down() -> None:
    person, stop, attendance = attended()
    person.says = ["quit"]
    assert stop.is_set(0)
    assert (stop.is_emergency, stop.reason, stop.count) == (False, "ended by operator=browser", 1)
    attendance.is_over = True
    person.says = ["quit"]
    stop.is_set(100 * MS)
    assert stop.count == 1


def test_without_anybody_the_robot_stops_once_there_was_somebody() -> None:
    person, stop, attendance = attended()
    person.is_there = False
    assert not stop.is_set(0)
    assert attendance.is_awaited, "nobody has come yet"
    person.is_there = True
    assert not stop.is_set(100 * MS)
    assert not attendance.is_awaited
    person.is_there = False
    assert stop.is_set(200 * MS)
    assert stop.reason == "nobody is at operator=browser any more"
    assert not stop.is_emergency
    stop.is_set(300 * MS)
    assert stop.count == 1


def test_a_page_whose_process_has_ended_quits_and_is_only_missed_where_somebody_is_needed() -> None:
    for is_needed in (True, False):
        person, stop, _ = attended(is_needed)
        stop.is_set(0)
        person.is_there, person.says = False, ["quit"]
        assert stop.is_set(100 * MS) == is_needed
        assert stop.reason == ("nobody is at operator=browser any more" if is_needed else None)


def test_who_falls_silent_with_hands_on_is_not_waited_for() -> None:
    person, stop, _ = attended()
    stop.is_set(0)
    person.is_heard, person.is_cut_off = False, True
    assert stop.is_set(100 * MS)
    assert (stop.reason, stop.is_emergency) == ("operator=browser fell silent with hands on", False)
    person.is_there = False
    stop.is_set(200 * MS)
    assert stop.count == 1


@pytest.mark.parametrize(("is_needed", "is_over"), [(False, False), (True, True)])
def test_nobody_is_missed_where_the_policy_may_go_on_or_the_robot_lies_down(
    is_needed: bool, is_over: bool
) -> None:
    person, stop, attendance = attended(is_needed)
    stop.is_set(0)
    attendance.is_over, person.is_there, person.is_cut_off = is_over, False, True
    assert not stop.is_set(100 * MS)


@pytest.mark.parametrize(("silent_at", "silent_after"), [("send", 7), ("home", 1)])
def test_neither_homing_nor_an_episode_begins_while_nobody_is_heard_of(
    silent_at: str,
    silent_after: int,
    robot: ToyRobot,
    clock: FakeClock,
    spec: Spec,
    make_bundle: MakeBundle,
) -> None:
    """In the second of three episodes of 5 steps, or on the way to it, the page falls silent for 2 s."""
    person, stop, attendance = attended()
    silent_ns: list[int] = []

    def told(name: str, count: int) -> None:
        if (name, count) == (silent_at, silent_after):
            person.is_heard = False
            silent_ns.append(clock.now_ns())
        assert person.is_heard or (name, silent_at) == ("home", "home") or name not in ("home", "connect")
        assert person.is_heard or silent_at == "send" or name not in ("observe", "send")

    def listen() -> None:
        person.is_heard |= bool(silent_ns) and clock.now_ns() - silent_ns[0] >= 2_000 * MS

    robot.before, person.listen = told, listen  # type: ignore[method-assign]
    sharing = Sharing(Nobody(), spec, attendance=attendance)  # type: ignore[arg-type]
    bundle = make_bundle(spec)
    report = run(robot, bundle, duration_s=1.5, clock=clock, stop=stop, sharing=sharing)
    assert report.fault is None
    assert (robot.calls.count("home"), robot.calls.count("send"), report.missed_slots) == (3, 15, 0)
    assert person.is_heard
    assert robot.calls.count("stop") == (2 if silent_at == "send" else 1), "it holds while it waits"


def test_who_stays_away_ends_the_run_before_the_next_homing(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    person, stop, attendance = attended()
    silent_ns: list[int] = []

    def told(name: str, count: int) -> None:
        if (name, count) == ("send", 2):
            person.is_heard = False
            silent_ns.append(clock.now_ns())

    def listen() -> None:
        person.is_there = not silent_ns or clock.now_ns() - silent_ns[0] < 5_000 * MS

    robot.before, person.listen = told, listen  # type: ignore[method-assign]
    sharing = Sharing(Nobody(), spec, attendance=attendance)  # type: ignore[arg-type]
    kept = Kept()
    found = run(
        robot, make_bundle(spec), duration_s=3.0, clock=clock, stop=stop, sharing=sharing, writer=kept
    ).to_dict()
    assert (found["stopped_by"], found["stop_reason"]) == (
        "interrupt",
        "nobody is at operator=browser any more",
    )
    assert robot.calls.count("home") == 1
    assert [(len(episode), episode.meta.end_reason) for episode in kept] == [(5, "horizon")]


def test_who_plays_is_left_as_they_are_and_looked_at_every_20_ms() -> None:
    person, stop, attendance = attended()
    for now_ms in (0, 10, 19, 20, 39):
        stop.is_set(now_ms * MS)
    attendance.is_playing = True
    stop.is_set(40 * MS)
    assert person.calls == ["idle", "idle", "listen"]


@pytest.fixture
def bundle(make_bundle: MakeBundle) -> Path:
    """A policy for fetch_reach that moves away from wherever it is to be, slowly."""
    spec = spec_of(make_env(TaskConfig("fetch_reach")))
    return make_bundle(
        spec, Limits(max_action_delta=0.5), weight=np.zeros((spec.observation_size, 4)), bias=np.zeros(4)
    ).path


def words(bundle: Path, data: Path, operator: str) -> list[str]:
    return ["deploy", f"bundle={bundle}", f"record={data}", f"operator={operator}", "priority=0", "seed=3"]


def test_an_expert_takes_over_in_the_real_time_loop_and_figures_and_table_say_so(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*words(bundle, tmp_path / "data", "expert"), "one_process=true", "duration_s=0.4"]
    assert main([*asked, "operator.patience_s=0"]) == 0
    figures = json.loads((bundle / "deploy.json").read_text())
    assert figures["operator"] == "expert"
    assert figures["config"]["operator"]["patience_s"] == 0
    (episode,) = Dataset.open(tmp_path / "data").load_all()
    theirs = episode.actor == Actor.INTERVENTION
    assert episode.meta.operator == "policy+expert"
    found = figures["interventions"]
    assert (found["times"], found["of_steps"]) == (1, len(episode))
    assert found["steps"] == theirs.sum() > 0
    assert np.isfinite(episode.action_operator[theirs]).all()
    assert not np.isfinite(episode.action_operator[~theirs]).any()
    np.testing.assert_array_equal(episode.action_policy, np.zeros_like(episode.action))
    assert np.abs(np.diff(episode.action, axis=0)).max() <= 0.5 + 1e-6, "the bundle's limit holds for them"
    line = f"taken over         1 times by expert, {theirs.mean():.0%} of {len(episode)} steps"
    assert line in capsys.readouterr().out


def test_an_operator_that_cannot_take_over_is_refused_before_anything_moves(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(bundle, tmp_path / "data", "random")) == 2
    err = capsys.readouterr().err
    assert err.startswith("robot-orl: operator=random cannot take over from a policy; these can: browser")
    assert not (tmp_path / "data").exists()


# --- with a real page ----------------------------------------------------------------------------------


@contextmanager
def deploying(bundle: Path, data: Path, *more: str) -> Iterator[tuple[Any, str]]:
    """A deployment, and where its page is."""
    asked = [*words(bundle, data, "browser"), "port=0", "duration_s=600", *more]
    command = [sys.executable, "-m", "robot_orl.cli", *asked]
    with child(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        said = ""
        while (found := re.search(r"drive at (\S+)", said)) is None:
            line = process.stdout.readline()
            assert line, f"it ended: {said}"
            said += line
        yield process, found[1]


class Page:
    """Somebody's browser."""

    def __init__(self, browser: Any, url: str) -> None:
        self.page = browser.new_context(viewport={"width": 900, "height": 600}).new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url, timeout=1_000 * PATIENCE_S)

    def until(self, script: str) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(f"Boolean({script})"):
            assert time.monotonic() < end_s, (
                script,
                self.page.evaluate("JSON.stringify(state)"),
                self.errors,
            )
            self.page.wait_for_timeout(20)


@pytest.mark.e2e
def test_a_person_takes_over_at_a_page_and_another_page_stops_the_robot(bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    alone = "unattended=policy"  # a browser that is slow to draw with a key down is not what stops it
    with chromium() as browser, deploying(bundle, data, alone) as (process, url):
        driver = Page(browser, url)
        driver.until("state.status?.state === 'policy' && !isBehind() && state.drives")
        driver.page.keyboard.down("r")
        driver.until("state.status.state === 'person' && state.status.deployment.interventions")
        driver.page.keyboard.up("r")
        driver.until("state.status.state === 'policy'")
        watcher = Page(browser, url)
        watcher.until("state.status?.deployment?.phase === 'running' && !state.drives")
        assert watcher.page.is_disabled("#deployment [data-verb=quit]")
        watcher.page.evaluate("say = (all => message => message.say === 'got' || all(message))(say), null")
        watcher.until("isBehind() && !isLost()")  # its picture is old, on a way too slow to drive
        watcher.page.click("#halt")
        driver.until("isOver || state.status.deployment.phase === 'over'")
        said = process.stdout.read()
        assert not driver.errors + watcher.errors
    assert process.returncode == 130
    assert "emergency stop, STOP by operator=browser; the robot holds where it is, the record is kept" in said
    figures = json.loads((bundle / "deploy.json").read_text())
    assert figures["stopped_by"] == "emergency"
    assert (figures["parked"], figures["fault"]) == (False, None)
    assert figures["interventions"]["times"] > 0
    episodes = list(Dataset.open(data).load_all())
    acted = np.concatenate([episode.actor for episode in episodes]) == Actor.INTERVENTION
    assert {episode.meta.operator for episode in episodes if (episode.actor == Actor.INTERVENTION).any()} == {
        "policy+browser"
    }
    up = np.concatenate([episode.action_operator[:, 2] for episode in episodes])
    assert acted.sum() == figures["interventions"]["steps"] > 0
    assert up[acted].max() > 0, "the key for up"


def looks_until_the_policy_acts(url: str) -> None:
    """A page that draws nothing, and then closes."""
    token = urlopen(url).read().decode().partition('name="token" content="')[2].partition('"')[0]
    address = f"ws://{urlsplit(url).netloc}/hands?token={token}&seat="
    end_s = time.monotonic() + PATIENCE_S
    with connect(address, max_size=None, open_timeout=PATIENCE_S) as socket:
        while time.monotonic() < end_s:
            socket.send(json.dumps({"say": "off", "at": 1.0}))
            raw = socket.recv(timeout=PATIENCE_S)
            if isinstance(raw, str) and (json.loads(raw).get("status") or {}).get("state") == "policy":
                return
    raise AssertionError("the policy never acted")


@pytest.mark.e2e
def test_where_the_page_is_gone_the_robot_stops_and_lies_down(bundle: Path, tmp_path: Path) -> None:
    with deploying(bundle, tmp_path / "data", "operator.grace_s=2") as (process, url):
        assert "nothing moves before somebody is at operator=browser" in process.stdout.readline()
        looks_until_the_policy_acts(url)
        said = process.stdout.read()
    assert process.returncode == 130
    why = "nobody is at operator=browser any more"
    assert f"robot-orl: {why}; the robot was stopped and what was recorded is kept" in said
    figures = json.loads((bundle / "deploy.json").read_text())
    assert (figures["stopped_by"], figures["stop_reason"], figures["parked"]) == ("interrupt", why, True)


@pytest.mark.e2e
def test_a_policy_that_may_go_on_alone_waits_for_nobody(bundle: Path, tmp_path: Path) -> None:
    asked = [*words(bundle, tmp_path / "data", "browser"), "port=0", "duration_s=1", "unattended=policy"]
    command = [sys.executable, "-m", "robot_orl.cli", *asked]
    with child(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        said = process.stdout.read()
    assert process.returncode == 0, said
    assert "nothing moves" not in said
    assert json.loads((bundle / "deploy.json").read_text())["slots"] == 25
