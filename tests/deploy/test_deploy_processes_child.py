"""What is told to a process and what it says, whenever anybody listens."""

import os
import select
from collections.abc import Callable
from pathlib import Path

import pytest
from deploy_toys import MakeBundle

from robot_orl.deploy.processes.child import Lines
from robot_orl.deploy.processes.hosting import Hosts, beside
from robot_orl.deploy.processes.records import Records
from robot_orl.errors import RunError, UsageError
from robot_orl.types import Spec


def test_of_two_orders_that_came_at_once_the_second_is_still_waited_for() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        os.write(writer, b'{"state_size": 0}\n{"close": true}\n{"clo')
        lines = Lines(stream)
        assert lines.next() == {"state_size": 0}
        assert select.select([stream], [], [], 0)[0]
        assert lines.next() == {"close": True}
        with pytest.raises(TimeoutError):
            lines.next(0.0)
        os.write(writer, b'se": 1}\n')
        assert lines.next() == {"close": 1}
        os.close(writer)
        assert lines.next() is None


def test_each_host_is_ended_whatever_the_others_say_and_the_first_reason_is_told() -> None:
    ended: list[str] = []

    def fails(name: str, error: Exception) -> Callable[[], str | None]:
        def close() -> str | None:
            ended.append(name)
            raise error

        return close

    hosts = Hosts()
    hosts.add(fails("recorder", UsageError("the dataset is of another task")))
    hosts.add(fails("policy", RunError("the policy process did not answer")))
    hosts.add(lambda: ended.append("last"))
    assert hosts.close() == (None, "the dataset is of another task")
    assert ended == ["recorder", "policy", "last"]
    hosts.kill()  # raises nothing, so that what went wrong before is told


@pytest.mark.e2e
def test_a_run_that_is_stopped_while_its_processes_load_ends_them_without_a_word(
    spec: Spec, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(spec)
    records = Records(str(tmp_path / "data"), spec, bundle.policy_hash, {}, {})
    hosts = beside(bundle, records, priority=None, should_stop=lambda: True)
    assert hosts.asking is not None
    assert hosts.asking.swapped() == []
    assert hosts.close() == (None, None)
