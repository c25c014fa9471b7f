"""How much memory data take, and how much there is, read from a machine made of files."""

import resource
from pathlib import Path

import numpy as np
import pytest
from learning_toys import goal_spec, point_spec, points

from robot_orl.data.sampling.normalizer import features_of
from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.errors import UsageError
from robot_orl.training.checks.memory import available_memory, memory_of, require_memory


def machine(root: Path, files: dict[str, str]) -> Path:
    files = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n"} | files
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_the_machine_tells_what_is_free(tmp_path: Path) -> None:
    assert available_memory(machine(tmp_path, {})) == 8000 * 1024


def test_who_does_not_tell_refuses_nothing(tmp_path: Path) -> None:
    assert available_memory(tmp_path) is None
    require_memory(point_spec(), [10**12], None)


def test_a_control_group_leaves_its_limit_but_for_what_is_used_and_cannot_be_dropped(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/job/step"
    files = {
        "proc/self/cgroup": "0::/job/step\n",
        f"{group}/memory.max": "1000000\n",
        f"{group}/memory.current": "700000\n",
        f"{group}/memory.stat": "anon 5\ninactive_file 200000\nactive_file 3\n",
    }
    assert available_memory(machine(tmp_path, files)) == 1_000_000 - 700_000 + 200_000
    (tmp_path / group / "memory.max").write_text("max\n")
    assert available_memory(tmp_path) == 8000 * 1024


def test_the_tightest_of_the_groups_above_counts(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/job/step\n", "sys/fs/cgroup/job/memory.max": "500000"}
    files |= {"sys/fs/cgroup/job/memory.current": "100000"}
    files |= {"sys/fs/cgroup/job/step/memory.max": "900000", "sys/fs/cgroup/job/step/memory.current": "0"}
    assert available_memory(machine(tmp_path, files)) == 400_000


def test_in_a_container_the_group_is_the_mount_itself_and_version_1_counts(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "9:cpu:/x\n4:memory:/docker/0123\n0::/\n"}
    files |= {"sys/fs/cgroup/memory/memory.limit_in_bytes": "600000"}
    files |= {"sys/fs/cgroup/memory/memory.usage_in_bytes": "500000"}
    files |= {"sys/fs/cgroup/memory/memory.stat": "inactive_file 7\ntotal_inactive_file 50000\n"}
    assert available_memory(machine(tmp_path, files)) == 150_000


def test_more_in_use_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "5"}
    assert available_memory(machine(tmp_path, files | {"sys/fs/cgroup/memory.current": "9"})) == 0


def test_this_machine_tells() -> None:
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    assert 1e6 < (available_memory() or 0) < 1e14


def test_data_that_do_not_fit_are_refused_with_both_figures_and_a_way_out() -> None:
    """A step of `point_spec` takes 12 + 4 + 65 = 81 bytes and an episode 12 more: 20 x 1632 in all."""
    assert memory_of(point_spec(), 20 * 20, 20) == 20 * 1_632
    lengths = [2_000_000] * 20
    require_memory(point_spec(), lengths, memory_of(point_spec(), sum(lengths), 20))
    with pytest.raises(UsageError) as raised:
        require_memory(point_spec(), lengths, 731_000_000)
    assert str(raised.value) == (
        "the 40,000,000 steps of 20 episodes take 3.2 GB of memory and 731.0 MB are free: learn from fewer, "
        "about 4 episodes, with where=... such as where='quality > 0.5'"
    )


def test_what_is_told_is_what_the_replay_takes() -> None:
    """Everything that a replay keeps, and what its normaliser needs for a moment."""
    spec, count = point_spec(), 40
    replay = Replay(spec)
    replay.reserve(count * 5, count)
    replay.extend(points(np.arange(6.0).tolist(), [-1.0] * 5) for _ in range(count))
    replay.sample(Sampling(4), np.random.default_rng(0))
    kept = sum(value.nbytes for value in vars(replay).values() if isinstance(value, np.ndarray))
    kept += sum(targets._table.nbytes for targets in replay._targets.values())
    deviation = features_of(replay.observations(), spec).astype(np.float64).nbytes
    assert memory_of(spec, count * 5, count) == kept + deviation
    assert memory_of(goal_spec(), 10, 1) == 11 * (4 * (5 + 2) + 12 * 7) + 10 * (4 + 65)
