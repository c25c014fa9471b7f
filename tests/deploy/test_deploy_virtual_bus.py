"""Who on a line answers what, and when; and what faults do to packets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_toys import BROADCAST_ID, MS, XL330_M288, XL430_W250, Line, make_servo

from robot_orl.deploy.dynamixel.registers import CENTRE_TICK
from robot_orl.deploy.virtual.bus import VirtualBus
from robot_orl.deploy.virtual.faults import Event, FaultsConfig, LineFaults
from robot_orl.deploy.virtual.motion import Shaft
from robot_orl.deploy.virtual.packets import Instruction, Parser, crc16, instruction_packet
from robot_orl.errors import UsageError

US = 1_000  # [ns]
PING = instruction_packet(1, Instruction.PING)


def sync_read(*ids: int) -> bytes:
    return instruction_packet(BROADCAST_ID, Instruction.SYNC_READ, b"\x84\x00\x04\x00" + bytes(ids))


def ids_of(answers: list[tuple[int, int, bytes]]) -> list[int]:
    return [id for id, _, _ in answers]


def test_a_ping_tells_model_and_firmware() -> None:
    assert Line(make_servo(1, XL430_W250)).ask(1, Instruction.PING) == [(1, 0, b"\x24\x04\x2e")]
    assert Line(make_servo(3)).ask(1, Instruction.PING) == []


def test_all_answer_a_broadcast_ping_in_the_order_of_their_ids() -> None:
    line = Line(make_servo(6), make_servo(2), make_servo(4))
    assert ids_of(line.ask(BROADCAST_ID, Instruction.PING)) == [2, 4, 6]


def test_other_broadcasts_are_done_and_not_answered() -> None:
    one, two = make_servo(1), make_servo(2)
    line = Line(one, two)
    assert line.ask(BROADCAST_ID, Instruction.WRITE, b"\x41\x00\x01") == []
    assert [servo.table["led"] for servo in (one, two)] == [1, 1]
    assert line.ask(BROADCAST_ID, Instruction.READ, b"\x84\x00\x04\x00") == []
    assert line.ask(BROADCAST_ID, Instruction.FACTORY_RESET, b"\xff") == []
    assert [servo.id for servo in (one, two)] == [1, 2]  # all of all at once: not done
    assert line.ask(BROADCAST_ID, Instruction.REBOOT) == []
    assert line.ask(1, Instruction.PING) == []


def test_a_registered_write_waits_for_its_action() -> None:
    servo = make_servo(1)
    line = Line(servo)
    assert line.ask(1, Instruction.ACTION) == [(1, 2, b"")]
    assert line.ask(1, Instruction.REG_WRITE, b"\x74\x00\x01\x00\x01\x00") == [(1, 6, b"")]  # too far
    assert line.ask(1, Instruction.REG_WRITE, b"\x74\x00\x01\x08\x00\x00") == [(1, 0, b"")]
    assert (line.read(1, "registered_instruction"), line.read(1, "goal_position")) == (1, CENTRE_TICK)
    assert line.ask(BROADCAST_ID, Instruction.ACTION) == []
    assert (line.read(1, "registered_instruction"), line.read(1, "goal_position")) == (0, CENTRE_TICK + 1)


def test_what_is_no_instruction_and_what_is_broken_is_answered_so() -> None:
    line = Line(make_servo(1))
    assert line.ask(1, 0x77) == [(1, 2, b"")]
    assert line.ask(1, Instruction.SYNC_READ, b"\x84\x00\x04\x00\x01") == [(1, 2, b"")]  # not to all
    assert line.ask(1, Instruction.READ, b"\x84\x00") == [(1, 5, b"")]
    broken = bytearray(PING)
    broken[-1] ^= 1
    assert line.send(bytes(broken)) == [(1, 3, b"")]


def test_the_status_return_level_says_what_is_answered() -> None:
    for level, answered in ((0, [True, False, False]), (1, [True, True, False]), (2, [True, True, True])):
        line = Line(make_servo(1))
        line.write(1, "status_return_level", level)
        asked = [
            line.ask(1, Instruction.PING),
            line.ask(1, Instruction.READ, b"\x84\x00\x04\x00"),
            line.ask(1, Instruction.WRITE, b"\x41\x00\x01"),
        ]
        assert [bool(answers) for answers in asked] == answered
        assert bool(line.sync_read("present_position", [1])) == answered[1]


def test_a_sync_read_is_answered_in_the_order_of_the_question() -> None:
    line = Line(*(make_servo(id, shaft=100.0 * id) for id in (1, 2, 3)))
    answers = line.sync_read("present_position", [3, 1, 2])
    assert [(id, int.from_bytes(data, "little")) for id, _, data in answers] == [(3, 300), (1, 100), (2, 200)]


def test_behind_a_silent_servo_nobody_answers_a_sync_read() -> None:
    line = Line(*(make_servo(id) for id in (1, 2, 3)))
    assert ids_of(line.sync_read("present_position", [1, 9, 3])) == [1]
    line.bus.absent.add(2)
    assert ids_of(line.sync_read("present_position", [1, 2, 3])) == [1]
    assert line.ask(2, Instruction.PING) == []
    line.bus.absent.clear()
    assert ids_of(line.sync_read("present_position", [1, 2, 3])) == [1, 2, 3]


def test_a_sync_write_reaches_each_with_its_own_value_and_one_refusal_stops_nobody() -> None:
    servos = [make_servo(id) for id in (1, 2, 3)]
    line = Line(*servos)
    values = b"".join(bytes((id,)) + goal.to_bytes(4, "little") for id, goal in ((1, 10), (2, 9999), (3, 30)))
    assert line.ask(BROADCAST_ID, Instruction.SYNC_WRITE, b"\x74\x00\x04\x00" + values) == []
    assert [servo.table["goal_position"] for servo in servos] == [10, CENTRE_TICK, 30]
    line.ask(BROADCAST_ID, Instruction.SYNC_WRITE, b"\x74\x00\x04\x00\x01\x14\x00\x00")  # cut off
    assert servos[0].table["goal_position"] == 10


def test_bulk_reads_and_writes_by_the_example_of_the_manual() -> None:
    """Max Voltage Limit of id 1 and Temperature Limit of id 2, then voltage of 1 and temperature of 2."""
    one, two = make_servo(1, XL430_W250), make_servo(2, XL430_W250)
    line = Line(one, two)
    one.tick(one._motor.shaft, 0, 0.001)
    two.tick(two._motor.shaft, 0, 0.001)
    told = bytes.fromhex("01 20 00 02 00 78 00 02 1F 00 01 00 50")
    assert line.ask(BROADCAST_ID, Instruction.BULK_WRITE, told) == []
    assert (one.table["max_voltage_limit"], two.table["temperature_limit"]) == (120, 80)
    asked = bytes.fromhex("01 90 00 02 00 02 92 00 01 00")
    assert line.ask(BROADCAST_ID, Instruction.BULK_READ, asked) == [(1, 0, b"\x78\x00"), (2, 0, b"\x1c")]


def test_a_fast_sync_read_is_one_packet_of_all() -> None:
    bus = VirtualBus([make_servo(id, shaft=id) for id in (1, 2)], has_wire_time=False)
    asked = instruction_packet(BROADCAST_ID, Instruction.FAST_SYNC_READ, b"\x84\x00\x04\x00\x01\x02")
    bus.receive(asked, 0)
    raw = bus.poll(0)
    assert raw[:8] == bytes.fromhex("FF FF FD 00 FE 11 00 55")  # 1 + 2 * (2 + 4 + 2) = 17
    assert raw[8:14] == bytes.fromhex("00 01 01 00 00 00")
    assert raw[16:22] == bytes.fromhex("00 02 02 00 00 00")
    assert raw[-2:] == crc16(raw[:-2]).to_bytes(2, "little")
    bus.absent.add(2)
    bus.receive(asked, 0)
    assert bus.poll(0) == raw[:16]  # the rest never comes


def test_a_fast_read_that_no_packet_could_hold_is_not_answered() -> None:
    line = Line(make_servo(1), make_servo(2))
    assert line.ask(BROADCAST_ID, Instruction.FAST_SYNC_READ, b"\x84\x00\xff\xff\x01\x02") == []


def test_the_secondary_id_speaks_to_several_and_is_not_answered() -> None:
    """The example of the manual: ids 1 and 5, both with the secondary id 5."""
    one, five = make_servo(1, own={"secondary_id": 5}), make_servo(5, own={"secondary_id": 5})
    line = Line(one, five)
    assert ids_of(line.ask(5, Instruction.WRITE, b"\x41\x00\x01")) == [5]
    assert [servo.table["led"] for servo in (one, five)] == [1, 1]
    line.ask(5, Instruction.WRITE, b"\x09\x00\x07")  # return delay, which lies in the EEPROM
    assert [servo.table["return_delay_time"] for servo in (one, five)] == [0, 7]


def test_two_servos_with_one_id_are_not_understood() -> None:
    bus = VirtualBus([make_servo(1, XL430_W250), make_servo(1, XL330_M288)], has_wire_time=False)
    bus.receive(PING, 0)
    assert not any(packet.is_intact for packet in Parser().feed(bus.poll(0), 0))


def test_at_another_rate_nobody_hears() -> None:
    bus = VirtualBus([make_servo(1)], has_wire_time=False)
    for baud, hears in ((57_600, False), (1_000_000, True), (None, True)):
        bus.receive(PING, 0, baud)
        assert bool(bus.poll(0)) == hears


def test_answers_take_the_time_of_the_wire() -> None:
    """1 Mbaud, 10 us a byte: a question of 16 bytes; then 500 us of return delay and 15 bytes, twice."""
    bus = VirtualBus([make_servo(id, own={"return_delay_time": 250}) for id in (1, 2)])
    bus.receive(sync_read(1, 2), 0, 1_000_000)
    assert bus.poll(159 * US) == b""
    assert bus.next_ns == 160 * US
    assert bus.poll(160 * US) == b""
    assert bus.next_ns == 810 * US
    assert bus.poll(809 * US) == b""
    assert len(bus.poll(810 * US)) == 15
    assert bus.next_ns == 1460 * US
    assert len(bus.poll(1460 * US)) == 15
    assert bus.next_ns is None


def test_a_write_takes_effect_when_its_last_byte_has_come() -> None:
    servo = make_servo(1)
    bus = VirtualBus([servo])
    bus.receive(instruction_packet(1, Instruction.WRITE, b"\x41\x00\x01"), 0, 1_000_000)  # 13 bytes
    bus.poll(129 * US)
    assert servo.table["led"] == 0
    bus.poll(130 * US)
    assert servo.table["led"] == 1


addresses = st.sampled_from(sorted({r.address for r in XL430_W250.registers.values()})).map(
    lambda address: address.to_bytes(2, "little")
)
questions = st.tuples(
    st.sampled_from([1, 2, 5, BROADCAST_ID]),
    st.one_of(st.sampled_from(list(Instruction)), st.integers(0, 255)),
    st.one_of(
        st.binary(max_size=14),
        st.tuples(addresses, st.binary(max_size=12)).map(b"".join),
        st.tuples(addresses, st.sampled_from([b"\1\0", b"\2\0", b"\4\0"]), st.binary(max_size=8)).map(
            b"".join
        ),
    ),
)


@given(st.lists(questions, max_size=15), st.integers(0, 400))
@settings(max_examples=30, deadline=None)
def test_whatever_is_asked_nothing_breaks_and_every_answer_is_whole(
    asked: list[tuple[int, int, bytes]], pause_ms: int
) -> None:
    servos = [make_servo(1, XL430_W250), make_servo(2)]
    line = Line(*servos)
    for id, instruction, parameters in asked:
        line.ask(id, instruction, parameters)
        line.now_ns += pause_ms * MS
        for servo in servos:
            servo.tick(Shaft(5000.0, 300.0, 0.1), line.now_ns, 0.002)


# --- faults ----------------------------------------------------------------------------------------------


def faulty(**shares: float) -> VirtualBus:
    return VirtualBus([make_servo(1)], LineFaults(FaultsConfig(**shares)), has_wire_time=False)  # type: ignore[arg-type]


def test_shares_of_packets_are_hit() -> None:
    bus = faulty(drop=0.25)
    answered = 0
    for _ in range(1_000):
        bus.receive(PING, 0)
        answered += bool(bus.poll(0))
    assert answered == 1_000 - bus.faults.counts["dropped"]
    assert answered / 1_000 == pytest.approx(0.75**2, abs=0.05)  # both ways must go well


def test_the_same_seed_hits_the_same_packets() -> None:
    def hits(seed: int) -> list[bytes]:
        faults = LineFaults(FaultsConfig(drop=0.3, corrupt=0.3, seed=seed))
        return [faults.sent(PING) for _ in range(30)]

    assert hits(1) == hits(1) != hits(2)


def test_a_corrupted_packet_differs_in_one_bit() -> None:
    faults = LineFaults(FaultsConfig(corrupt=1.0))
    places = set()
    for _ in range(200):
        changed, _ = faults.answered(PING)
        ((place, difference),) = [
            (at, a ^ b) for at, (a, b) in enumerate(zip(changed, PING, strict=True)) if a != b
        ]
        assert difference.bit_count() == 1
        places.add(place)
    assert places == set(range(len(PING)))  # anywhere


def test_garbage_comes_before_an_answer_that_is_still_found() -> None:
    bus = faulty(garbage=1.0)
    bus.receive(PING, 0)
    raw = bus.poll(0)
    assert 14 < len(raw) <= 14 + 8
    assert [packet.id for packet in Parser().feed(raw, 0)] == [1]


def test_late_answers_come_late() -> None:
    bus = faulty(late=1.0, late_s=0.05)
    bus.receive(PING, 0)
    assert bus.poll(49 * MS) == b""
    assert bus.poll(50 * MS) != b""


def test_events_are_read_as_they_are_written() -> None:
    assert Event.parse("5:overheating:3") == Event(5.0, "overheating", 3, None)
    assert Event.parse("8.5:missing:2:0.5") == Event(8.5, "missing", 2, 0.5)
    assert Event.parse("2:hang_up") == Event(2.0, "hang_up")
    assert Event.parse("2:hang_up::0.3") == Event(2.0, "hang_up", None, 0.3)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("overheating:3", "fault 'overheating:3' is not TIME:WHAT"),
        ("5", "is not TIME:WHAT"),
        ("x:missing:3", "is not TIME:WHAT"),
        ("nan:missing:3", "is not TIME:WHAT"),
        ("-1:missing:3", "is not TIME:WHAT"),
        ("5:missing:3:nan", "is not TIME:WHAT"),
        ("5:missing:3:-1", "is not TIME:WHAT"),
        ("5:missing:3:inf", "fault '5:missing:3:inf': times are 0 .. 1e+09 s"),
        ("5:missing:3:1e300", "times are 0"),
        ("1e300:hang_up", "times are 0"),
        ("1.1e9:hang_up", "times are 0"),
        ("5:overheat:3", "no fault 'overheat'; did you mean 'overheating'?"),
        ("5:overheating", "needs the id of a servo: 5:overheating:ID"),
        ("5:overheating:253", "ids are 0 .. 252"),
    ],
)
def test_a_bad_event_is_answered_in_one_line(text: str, answer: str) -> None:
    with pytest.raises(UsageError) as error:
        FaultsConfig(events=[text])
    assert answer in str(error.value)
    assert "\n" not in str(error.value)
