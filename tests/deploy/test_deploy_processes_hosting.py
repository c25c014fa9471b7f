"""Processes beside the robot's own: what goes to and fro, and what they refuse before anything moves."""

import json
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from children import child
from deploy_toys import MakeBundle

import envs  # noqa: F401  registers the tasks
from robot_orl.cli import main
from robot_orl.data.store.places import place_at
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.root import write_dataset_file
from robot_orl.deploy.processes.child import Child
from robot_orl.deploy.processes.policy import PolicyProcess
from robot_orl.deploy.processes.ring import Doorbell, Ring, ring_bytes
from robot_orl.deploy.processes.rows import question_row
from robot_orl.deploy.timing import NS_PER_S, RealClock
from robot_orl.errors import RunError, UsageError
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.types import Spec

pytestmark = pytest.mark.e2e
ROWS, CAPACITY = 20_000, 7
PRODUCER = """
import mmap, os, sys, time
from robot_orl.deploy.processes.ring import Doorbell, Ring, ring_bytes
from robot_orl.deploy.processes.rows import question_row
memory, bell, rows, capacity = map(int, sys.argv[1:])
row = question_row(30)
ring = Ring(mmap.mmap(memory, ring_bytes(row, capacity)), 0, row, capacity)
bell = Doorbell(bell)
for number in range(rows):
    while (slot := ring.claim()) is None:
        time.sleep(0)
    ring.columns["number"][slot] = number
    ring.columns["flat"][slot] = number
    ring.push()
    bell.ring()
"""


def test_rows_of_a_process_that_runs_meanwhile_come_whole_and_in_order() -> None:
    row = question_row(30)
    memory, bell = os.memfd_create("test"), Doorbell()
    os.ftruncate(memory, ring_bytes(row, CAPACITY))
    ring = Ring(mmap.mmap(memory, ring_bytes(row, CAPACITY)), 0, row, CAPACITY)
    words = (sys.executable, "-c", PRODUCER, memory, bell.descriptor, ROWS, CAPACITY)
    with child(words, pass_fds=(memory, bell.descriptor)) as process:
        expected = 0
        while expected < ROWS:
            assert bell.wait(60 * NS_PER_S), f"it ended with {process.poll()} at row {expected}"
            while (slot := ring.oldest()) is not None:
                found = ring.columns["flat"][slot].copy()
                assert int(ring.columns["number"][slot]) == expected
                ring.pop()
                assert (found == expected).all()
                expected += 1
    bell.close()
    os.close(memory)


def test_a_policy_process_answers_as_its_bundle_does_and_says_when_it_is_gone(
    spec: Spec, make_bundle: MakeBundle
) -> None:
    bundle, clock = make_bundle(spec), RealClock()
    process = PolicyProcess(bundle, clock)
    try:
        assert process.child.wait(lambda: False)
        for number in range(5):
            flat = np.full(3, 0.1 * number, np.float32)
            process.ask(flat)
            reply = process.reply(clock.now_ns() + 60 * NS_PER_S)
            assert reply is not None
            assert reply.answer.action.tolist() == bundle.policy(flat).tolist()
            assert np.isnan(reply.answer.value)
            assert process.asked_ns is None
        assert process.problem() is None
        status = Path(f"/proc/{process.child.pid}/status").read_text()
        ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
        assert all(ignored >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTSTP))  # of a terminal
        os.kill(process.child.pid, 9)
        os.waitid(os.P_PID, process.child.pid, os.WEXITED | os.WNOWAIT)
        assert process.problem() == "the policy process was killed by signal 9"
        process.ask(flat)
        assert process.reply(clock.now_ns()) is None
    finally:
        process.close()


def test_a_bundle_that_changed_since_it_was_loaded_does_not_answer(
    spec: Spec, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle(spec)
    (bundle.path / "policy.onnx").write_bytes(b"another")
    process = PolicyProcess(bundle, RealClock())
    try:
        with pytest.raises(UsageError, match="changed since it was exported"):
            process.child.wait(lambda: False)
    finally:
        process.close()


def test_a_process_that_cannot_even_start_says_how_it_ended() -> None:
    process = Child("toy", "robot_orl.no_such_module", {}, ())
    with pytest.raises(RunError, match="the toy process ended with exit code 1"):
        process.wait(lambda: False)
    process.end(1.0)


def test_a_deployment_leaves_figures_of_its_processes_and_their_episodes(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(spec_of(make_env(TaskConfig("fetch_reach")))).path
    data = tmp_path / "data"
    assert main(["deploy", f"bundle={bundle}", "priority=0", "duration_s=2.4", f"record={data}"]) == 0
    told = json.loads((bundle / "deploy.json").read_text())
    assert set(told["processes"]) == {"policy", "recorder"}
    assert told["processes"]["policy"]["realtime"]["scheduling"]["reason"] == "not asked for"
    episodes = list(Dataset.open(data).load_all(verify=True))
    assert sum(map(len, episodes)) in (told["ticks"], told["ticks"] - 1)
    assert [episode.meta.end_reason for episode in episodes] == ["horizon", "duration"]
    assert episodes[0].sim_state is not None
    for word in ("policy", "recording"):
        name = f"robot_orl.deploy.processes.{word}"
        found = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", name], check=False)
        assert found.returncode == 1  # none is left


def test_a_dataset_of_another_task_is_refused_before_anything_moves(
    spec: Spec, make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_bundle(spec_of(make_env(TaskConfig("fetch_reach")))).path
    write_dataset_file(place_at(tmp_path / "data"), spec)
    words = ["deploy", f"bundle={bundle}", "priority=0", "duration_s=1", f"record={tmp_path}/data"]
    assert (main(words), main([*words, "one_process=true"])) == (2, 2)
    first, second = capsys.readouterr().err.splitlines()
    assert first == second
    assert "fetch_reach" in first
    assert not (bundle / "deploy.json").exists()
