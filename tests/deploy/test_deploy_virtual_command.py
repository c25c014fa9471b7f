"""`robot-orl virtual-arm`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from children import child
from virtual_arm_toys import sdk_at, wait_for

from robot_orl.deploy.virtual.world import World
from robot_orl.errors import UsageError


@pytest.mark.e2e
def test_the_command_serves_an_arm_until_ctrl_c(tmp_path: Path) -> None:
    link = tmp_path / "arm"
    command = [sys.executable, "-m", "robot_orl.cli", "virtual-arm", f"port={link}", "task=arm_reach"]
    with child(command, stdout=subprocess.PIPE, text=True) as process:
        wait_for(lambda: link.is_symlink() or process.poll() is not None, 60)
        models = {1: 1060, 2: 1060, 3: 1200, 4: 1200, 5: 1200, 6: 1200}
        with sdk_at(link) as (port, sdk):
            wait_for(lambda: {id: found[0] for id, found in sdk.broadcastPing(port)[0].items()} == models)
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert "another virtual arm is at" in second.stderr
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert " answers, 0 unintelligible" in said
    assert not os.path.lexists(link)


@pytest.mark.e2e
def test_things_are_put_back_while_the_arm_stays(tmp_path: Path) -> None:
    link, socket = tmp_path / "arm", tmp_path / "world"
    command = [
        sys.executable,
        "-m",
        "robot_orl.cli",
        "virtual-arm",
        f"port={link}",
        f"world={socket}",
        "seed=3",
    ]
    with child(command, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: socket.exists() or process.poll() is not None, 60)
        world = World(socket)
        world.do("hold", joints={"shoulder_pan": 0.4})
        wait_for(lambda: abs(world.do("look")["joints"]["shoulder_pan"] - 0.4) < 0.02)
        first, second = world.do("put_back", seed=3), world.do("put_back", seed=4)
        assert world.do("put_back", seed=3)["objects"] == first["objects"] != second["objects"]
        assert first["goal"] != second["goal"]
        fifth = world.do("put_back", seed=5)
        assert fifth["sites"]["goal"] == fifth["goal"] == world.do("look")["sites"]["goal"]
        assert not first["success"]
        assert second["joints"]["shoulder_pan"] == pytest.approx(0.4, abs=0.05)
        with pytest.raises(UsageError, match="put_back takes a seed"):
            world.do("put_back", seed=-1)
        world.close()
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.e2e
def test_a_killed_arm_leaves_a_link_that_the_next_one_replaces(tmp_path: Path) -> None:
    link = tmp_path / "arm"
    command = [sys.executable, "-m", "robot_orl.cli", "virtual-arm", f"port={link}", "task=arm_reach"]
    with child(command, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: link.is_symlink() or process.poll() is not None, 60)
        process.kill()
    assert link.is_symlink()
    done = subprocess.run([*command, "duration_s=0.1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not os.path.lexists(link)
