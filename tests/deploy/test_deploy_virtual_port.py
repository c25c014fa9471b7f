"""The serial port that is no hardware."""

import errno
import os
import select
import sys
from pathlib import Path

import pytest
import serial
from virtual_arm_toys import make_arm

from robot_orl.deploy.virtual.port import PseudoTerminal
from robot_orl.deploy.virtual.world import WorldSocket
from robot_orl.errors import UsageError


def test_a_link_left_behind_is_replaced_and_the_own_one_removed(tmp_path: Path) -> None:
    link = tmp_path / "arm"
    link.symlink_to("/dev/pts/12345")
    port = PseudoTerminal(link)
    port.open()
    assert os.readlink(link) == port.target != "/dev/pts/12345"
    port.close()
    port.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_somebody_elses_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "tty").symlink_to("/dev/ttyUSB0")
    for name in ("file", "link", "tty"):
        with pytest.raises(UsageError, match="is no virtual arm's link; choose another port="):
            PseudoTerminal(tmp_path / name).open()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "tty"]
    with pytest.raises(UsageError, match="there is no folder"):
        PseudoTerminal(tmp_path / "nowhere" / "arm").open()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the claim is Linux's")
def test_two_arms_do_not_share_a_port(tmp_path: Path) -> None:
    one, two = PseudoTerminal(tmp_path / "arm"), PseudoTerminal(tmp_path / "arm")
    one.open()
    with pytest.raises(UsageError, match="another virtual arm is at"):
        two.open()
    assert os.readlink(tmp_path / "arm") == one.target
    one.close()
    two.open()
    two.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the claim is Linux's")
def test_a_claimed_port_shows_nothing_until_it_is_open(tmp_path: Path) -> None:
    one, two = PseudoTerminal(tmp_path / "arm"), PseudoTerminal(tmp_path / "arm")
    one.claim()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="another virtual arm is at"):
        two.claim()
    one.open()
    assert os.readlink(tmp_path / "arm") == one.target
    one.close()


def test_whoever_sees_the_port_may_use_the_world(tmp_path: Path) -> None:
    seen = []

    class Slow(PseudoTerminal):
        def open(self) -> None:
            seen.append((tmp_path / "world").is_socket())
            super().open()

    arm = make_arm(tmp_path / "arm")
    arm.world = WorldSocket(tmp_path / "world", {})
    arm.port = Slow(tmp_path / "arm")
    arm.run(lambda: True)
    assert seen == [True]
    assert list(tmp_path.iterdir()) == []


def test_two_arms_in_a_deep_folder_have_a_port_each(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    ports = [PseudoTerminal(folder / name) for name in ("left", "right", "\udcff")]
    for port in ports:
        port.open()
    assert len({os.readlink(port.link) for port in ports}) == 3
    for port in ports:
        port.close()


def test_a_link_that_somebody_took_over_is_not_removed(tmp_path: Path) -> None:
    port = PseudoTerminal(tmp_path / "arm")
    port.open()
    (tmp_path / "arm").unlink()
    (tmp_path / "arm").write_text("mine")
    port.close()
    assert (tmp_path / "arm").read_text() == "mine"


def test_bytes_go_through_unchanged_and_the_rate_is_seen(tmp_path: Path) -> None:
    port = PseudoTerminal(tmp_path / "arm")
    port.open()
    every = bytes(range(256))
    with serial.Serial(str(tmp_path / "arm"), 57_600, timeout=5) as other:
        assert port.baud == 57_600
        other.write(every)
        descriptor = port.fileno()
        assert descriptor is not None
        assert select.select([descriptor], [], [], 5)[0]
        assert port.read() == every
        assert port.read() == b""
        port.write(every)
        assert other.read(256) == every
        other.baudrate = 1_000_000
        assert port.baud == 1_000_000
    port.write(every)  # nobody is there
    port.close()


def test_a_hang_up_is_an_error_on_the_other_end(tmp_path: Path) -> None:
    port = PseudoTerminal(tmp_path / "arm")
    port.open()
    other = os.open(tmp_path / "arm", os.O_RDWR | os.O_NOCTTY)
    port.unplug()
    assert not os.path.lexists(tmp_path / "arm")
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        os.write(other, b"x")
    assert (port.read(), port.baud, port.fileno()) == (b"", None, None)
    port.open()
    assert os.readlink(tmp_path / "arm") == port.target
    os.close(other)
    port.close()
