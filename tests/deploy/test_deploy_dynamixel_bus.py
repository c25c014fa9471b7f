"""The bus over the maker's SDK at a real serial port: packets that are lost, late, broken or without end."""

import errno
import itertools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servo_toys import ServoBench, as_is, corrupt, dropped

from robot_orl.deploy.dynamixel import port as port_of
from robot_orl.deploy.dynamixel.bus import BadPacket, Bus, Refused
from robot_orl.deploy.dynamixel.port import PortLost, choose_port, is_pseudo_terminal, latency_hint
from robot_orl.deploy.dynamixel.registers import XL330_M288
from robot_orl.deploy.virtual.packets import status_packet
from robot_orl.errors import RunError, UsageError

NAMES = {1: "pan", 2: "lift", 3: "gripper"}
POSITION = XL330_M288.registers["present_position"]
GOAL = XL330_M288.registers["goal_position"]
TORQUE = XL330_M288.registers["torque_enable"]
IDS = (1, 2, 3)


@pytest.fixture
def bus(bench: ServoBench) -> Iterator[Bus]:
    bus = Bus(str(bench.port.link), 1_000_000, NAMES, reply_s=0.05)
    bus.open()
    yield bus
    bus.close()


def positions(bus: Bus) -> list[int]:
    blocks = bus.sync_read(IDS, POSITION.address, POSITION.size)
    return [blocks[servo].raw(POSITION) for servo in IDS]


def test_servos_answer_pings_reads_writes_and_a_scan(bus: Bus, bench: ServoBench) -> None:
    assert [bus.ping(servo) for servo in IDS] == [1060, 1200, 1200]
    bus.write(2, GOAL, 1234)
    assert (bus.read(2, GOAL), bench.table("lift")["goal_position"]) == (1234, 1234)
    assert bus.counts == {"good": 5}


def test_one_question_reads_all_and_one_packet_writes_all(bus: Bus, bench: ServoBench) -> None:
    assert positions(bus) == [2178, 1918, 2439]  # 0.2, -0.2 and 0.6 rad at 651.9 ticks a rad
    asked = bench.bus.counts["instructions"]
    bus.sync_write(GOAL, {1: 2000, 2: 2001, 3: 2002})
    assert [bus.read(servo, GOAL) for servo in IDS] == [2000, 2001, 2002]
    assert bench.bus.counts["instructions"] == asked + 4


def test_a_lost_answer_names_its_servo(bus: Bus, bench: ServoBench) -> None:
    bench.faults.next_answers.extend([as_is, dropped])
    with pytest.raises(BadPacket, match=r"^no good answer from lift \(id 2\)$") as caught:
        positions(bus)
    assert caught.value.kind == "timeout"
    assert positions(bus) == [2178, 1918, 2439]


def test_a_broken_answer_is_told_from_a_lost_one(bus: Bus, bench: ServoBench) -> None:
    bench.faults.next_answers.extend([corrupt])
    with pytest.raises(BadPacket, match=r"^no good answer from pan \(id 1\)$") as caught:
        positions(bus)
    assert caught.value.kind == "corrupt"
    bench.faults.next_answers.extend([corrupt])
    with pytest.raises(BadPacket, match=r"^pan \(id 1\) answered, but broken$"):
        bus.read(1, GOAL)
    assert bus.counts["corrupt"] == 2


def test_noise_before_an_answer_is_skipped(bus: Bus, bench: ServoBench) -> None:
    bench.faults.next_answers.append(lambda data: (b"\xff\xff\xfd\x00\x01noise\xff" + data, 0))
    assert positions(bus) == [2178, 1918, 2439]


def test_an_answer_of_another_length_answers_another_question(bus: Bus, bench: ServoBench) -> None:
    bench.faults.next_answers.append(lambda data: (status_packet(1, 0, bytes(49)), 0))
    with pytest.raises(BadPacket, match=r"no good answer from pan"):
        positions(bus)
    bench.faults.next_answers.append(lambda data: (status_packet(1, 0, b"\x01"), 0))
    with pytest.raises(BadPacket):
        bus.read(1, GOAL)


def test_a_late_answer_is_not_taken_for_the_next_one(bus: Bus, bench: ServoBench) -> None:
    held: list[bytes] = []

    def hold(data: bytes) -> tuple[bytes, int]:
        held.append(data)
        return b"", 0

    bench.faults.next_answers.append(hold)
    bench.faults.next_answers.append(lambda data: (held[0] + data, 0))  # comes with a packet of another servo
    with pytest.raises(BadPacket):
        bus.read(1, POSITION)
    assert bus.read(2, POSITION) == 1918


def test_answers_are_found_in_noise_that_has_no_end(bus: Bus, bench: ServoBench) -> None:
    bench.babble = True
    assert bus.retrying(lambda: positions(bus), attempts=5) == [2178, 1918, 2439]


def test_a_refusal_is_told_in_the_servos_words(bus: Bus) -> None:
    bus.write(2, TORQUE, 1)
    with pytest.raises(Refused, match=r"^lift \(id 2\) answered 'Writing or Reading is not available"):
        bus.write(2, XL330_M288.registers["operating_mode"], 4)


def test_retrying_asks_as_often_as_it_is_told(bus: Bus, bench: ServoBench) -> None:
    bench.faults.next_answers.extend([dropped, dropped])
    assert bus.retrying(lambda: bus.read(1, POSITION), attempts=3) == 2178
    bench.faults.next_answers.extend([dropped, dropped])
    with pytest.raises(BadPacket, match=r"^pan \(id 1\) does not answer$"):
        bus.retrying(lambda: bus.read(1, POSITION), attempts=2)


def test_a_port_that_vanishes_is_lost_and_can_be_opened_again(bus: Bus, bench: ServoBench) -> None:
    bench.unplug()
    with pytest.raises(PortLost, match=r"arm is gone: cable, adapter or power"):
        positions(bus)
    assert not bus.is_open
    with pytest.raises(PortLost, match=r"is not open$"):
        bus.read(1, GOAL)
    bench.plug()
    bus.open()
    assert positions(bus) == [2178, 1918, 2439]


def test_a_port_belongs_to_one_program(bus: Bus, bench: ServoBench) -> None:
    with pytest.raises(PortLost, match=r"arm is in use by another program; end it first$"):
        Bus(str(bench.port.link), 1_000_000, NAMES, reply_s=0.02).open()


def test_no_port_lists_those_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_of, "ports", lambda: ["/dev/ttyACM0 (OpenRB-150)", "/dev/ttyUSB0 (U2D2)"])
    with pytest.raises(
        UsageError, match=r"^no port .*/none; there are: /dev/ttyACM0 \(OpenRB-150\), /dev/tty"
    ):
        Bus(str(tmp_path / "none"), 1_000_000, NAMES, 0.02).open()
    with pytest.raises(UsageError, match=r"^which port\? there are: "):
        choose_port(None)
    monkeypatch.setattr(port_of, "ports", lambda: ["/dev/ttyUSB0 (U2D2)"])
    assert choose_port(None) == "/dev/ttyUSB0"
    monkeypatch.setattr(port_of, "ports", list)
    with pytest.raises(UsageError, match="is the adapter plugged in and the arm powered"):
        choose_port(None)


def test_what_is_no_serial_port_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file is not a serial port; "):
        Bus(str(tmp_path / "file"), 1_000_000, NAMES, 0.02).open()
    with pytest.raises(UsageError, match=r"^baud=500 is no baud rate of these servos; valid: 9600, 57600"):
        Bus(str(tmp_path / "file"), 500, NAMES, 0.02)


def test_a_port_without_permission_names_the_group() -> None:
    denied = OSError(errno.EACCES, "Permission denied")
    assert "usermod -aG dialout" in str(port_of._open_error("/dev/ttyUSB0", denied))


def test_an_adapter_that_holds_answers_back_is_told_with_the_command_that_mends_it(tmp_path: Path) -> None:
    timer = tmp_path / "bus/usb-serial/devices/ttyUSB7/latency_timer"
    timer.parent.mkdir(parents=True)
    timer.write_text("16\n")
    hint = latency_hint("/dev/ttyUSB7", tmp_path)
    assert hint == f"/dev/ttyUSB7 holds answers back for 16 ms; mend it with: echo 1 | sudo tee {timer}"
    timer.write_text("1\n")
    assert latency_hint("/dev/ttyUSB7", tmp_path) is None
    assert latency_hint("/dev/ttyACM0", tmp_path) is None


def test_a_program_behind_a_port_is_recognised(bench: ServoBench, tmp_path: Path) -> None:
    assert is_pseudo_terminal(str(bench.port.link))
    assert not is_pseudo_terminal("/dev/ttyUSB0")


class Noise:
    """A serial port, in memory, at which only noise arrives."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int) -> bytes:
        found, self.data = self.data[: max(size, 0)], self.data[max(size, 0) :]
        return found

    def write(self, data: bytes) -> int:
        return len(data)

    def reset_input_buffer(self) -> None:
        """The noise comes after the question."""

    def close(self) -> None: ...


class Endless(Noise):
    """The same bytes again and again."""

    reads = 0

    def read(self, size: int) -> bytes:
        self.reads += 1
        assert self.reads < 10_000, "still reading"
        found = (self.data * (size + 1))[: max(size, 0)]
        self.data = self.data[len(found) % len(self.data) :] + self.data[: len(found) % len(self.data)]
        return found


def in_memory(noise: Noise, ms_per_look: float) -> Bus:
    """A bus at that port, whose time passes with each look at the clock."""
    bus = Bus("memory", 1_000_000, NAMES, reply_s=0.01)
    port, looks = bus._port, itertools.count()
    port.getCurrentTime = lambda: ms_per_look * next(looks)
    port.drain = lambda quiet_s: 0
    port.ser, port.is_open = noise, True
    return bus


@pytest.mark.parametrize(
    "pattern", [b"\xff\xff\xfd\x00", b"\xff", b"\xff\xff\xfd\x00\x01\x08\x00\x55", b"\0"]
)
def test_bytes_without_end_and_without_an_answer_end_at_the_deadline(pattern: bytes) -> None:
    with pytest.raises(BadPacket):
        positions(in_memory(Endless(pattern), ms_per_look=0.1))


@st.composite
def noise(draw: st.DrawFn) -> bytes:
    """Bytes that look like packets to some extent: headers, wrong lengths, true checksums, cut ends."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        packet = status_packet(
            draw(st.integers(0, 5)), draw(st.integers(0, 255)), draw(st.binary(max_size=60))
        )
        cut = draw(st.integers(0, len(packet)))
        parts.append(draw(st.sampled_from([packet, packet[:cut], packet[cut:], b"\xff\xff\xfd\x00"])))
        parts.append(draw(st.binary(max_size=20)))
    return b"".join(parts)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(noise(), st.integers(0, 2))
def test_no_noise_raises_anything_but_what_is_ours_or_passes_for_an_answer(data: bytes, kind: int) -> None:
    bus = in_memory(Noise(data), ms_per_look=1.0)
    with suppress(RunError):
        if kind == 0:
            blocks = bus.sync_read(IDS, POSITION.address, 21)
            assert {len(block.data) for block in blocks.values()} == {21}
        elif kind == 1:
            bus.read(1, GOAL)
        else:
            bus.ping(1)
