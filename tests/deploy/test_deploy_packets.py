"""Packets of Protocol 2.0, against the examples of the e-manual and against the maker's SDK."""

from dynamixel_sdk.protocol2_packet_handler import Protocol2PacketHandler
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_orl.deploy.virtual.packets import (
    HEADER,
    Instruction,
    Packet,
    Parser,
    crc16,
    fast_status_packet,
    instruction_packet,
    status_packet,
)

# Every example packet of https://emanual.robotis.com/docs/en/dxl/protocol2/ (firmware 38, model 1030).
INSTRUCTIONS = {
    (1, Instruction.PING, ""): "FF FF FD 00 01 03 00 01 19 4E",
    (254, Instruction.PING, ""): "FF FF FD 00 FE 03 00 01 31 42",
    (1, Instruction.READ, "84 00 04 00"): "FF FF FD 00 01 07 00 02 84 00 04 00 1D 15",
    (1, Instruction.WRITE, "74 00 00 02 00 00"): "FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89",
    (1, Instruction.REG_WRITE, "68 00 C8 00 00 00"): "FF FF FD 00 01 09 00 04 68 00 C8 00 00 00 AE 8E",
    (1, Instruction.ACTION, ""): "FF FF FD 00 01 03 00 05 02 CE",
    (1, Instruction.FACTORY_RESET, "01"): "FF FF FD 00 01 04 00 06 01 A1 E6",
    (1, Instruction.REBOOT, ""): "FF FF FD 00 01 03 00 08 2F 4E",
    (1, Instruction.CLEAR, "01 44 58 4C 22"): "FF FF FD 00 01 08 00 10 01 44 58 4C 22 B1 DC",
    (254, Instruction.SYNC_READ, "84 00 04 00 01 02"): ("FF FF FD 00 FE 09 00 82 84 00 04 00 01 02 CE FA"),
    (254, Instruction.SYNC_WRITE, "74 00 04 00 01 96 00 00 00 02 AA 00 00 00"): (
        "FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00 82 87"
    ),
    (254, Instruction.BULK_READ, "01 90 00 02 00 02 92 00 01 00"): (
        "FF FF FD 00 FE 0D 00 92 01 90 00 02 00 02 92 00 01 00 1A 05"
    ),
    (254, Instruction.BULK_WRITE, "01 20 00 02 00 A0 00 02 1F 00 01 00 50"): (
        "FF FF FD 00 FE 10 00 93 01 20 00 02 00 A0 00 02 1F 00 01 00 50 B7 68"
    ),
}
STATUSES = {
    (1, "06 04 26"): "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D",
    (2, "06 04 26"): "FF FF FD 00 02 07 00 55 00 06 04 26 6F 6D",
    (1, "A6 00 00 00"): "FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0",
    (2, "1F 08 00 00"): "FF FF FD 00 02 08 00 55 00 1F 08 00 00 BA BE",
    (1, ""): "FF FF FD 00 01 04 00 55 00 A1 0C",
    (1, "77 00"): "FF FF FD 00 01 06 00 55 00 77 00 C3 69",
    (2, "24"): "FF FF FD 00 02 05 00 55 00 24 8B A9",
}
parameters = st.lists(st.sampled_from([0x00, 0x01, 0xFC, 0xFD, 0xFE, 0xFF]), max_size=40).map(bytes)


def parse(data: bytes) -> list[Packet]:
    return list(Parser().feed(data, 0))


def test_every_instruction_of_the_manual_is_written_byte_for_byte() -> None:
    for (id, instruction, text), expected in INSTRUCTIONS.items():
        assert instruction_packet(id, instruction, bytes.fromhex(text)) == bytes.fromhex(expected)


def test_every_instruction_of_the_manual_is_understood() -> None:
    for (id, instruction, text), packet in INSTRUCTIONS.items():
        raw = bytes.fromhex(packet)
        assert parse(raw) == [Packet(id, instruction, bytes.fromhex(text), len(raw))]


def test_every_status_of_the_manual_is_written_byte_for_byte() -> None:
    for (id, text), expected in STATUSES.items():
        assert status_packet(id, 0, bytes.fromhex(text)) == bytes.fromhex(expected)


def test_the_crc_by_hand() -> None:
    """One bit shifted through x^16 + x^15 + x^2 + 1: 01 gives the polynomial itself."""
    assert crc16(b"") == 0
    assert crc16(b"\x01") == 0x8005
    assert crc16(b"\x02") == 0x800F  # 8005 << 1 loses its top bit, and takes the polynomial: 000A ^ 8005
    assert crc16(b"\x01\x00") == crc16(b"\x00", start=0x8005)


def test_stuffing_by_hand() -> None:
    raw = instruction_packet(1, Instruction.WRITE, bytes.fromhex("74 00 FF FF FD 00"))
    assert raw[5:7] == b"\x0a\x00"  # 6 parameters + instruction + CRC, and one byte of stuffing
    assert raw[7:-2] == bytes.fromhex("03 74 00 FF FF FD FD 00")
    assert parse(raw)[0].parameters == bytes.fromhex("74 00 FF FF FD 00")


@given(parameters)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_whatever_it_holds(data: bytes) -> None:
    raw = instruction_packet(7, Instruction.WRITE, data)
    assert parse(raw) == [Packet(7, Instruction.WRITE, data, len(raw))]
    assert raw.find(HEADER, 1) in (-1, len(raw) - 4)  # at most one that the CRC completes


@given(parameters)
@settings(max_examples=60, deadline=None)
def test_stuffing_and_crc_are_those_of_the_makers_sdk(data: bytes) -> None:
    sdk = Protocol2PacketHandler()
    plain = [0xFF, 0xFF, 0xFD, 0, 1, (len(data) + 3) & 0xFF, (len(data) + 3) >> 8, 3, *data, 0, 0]
    theirs = sdk.addStuffing(list(plain))
    ours = instruction_packet(1, Instruction.WRITE, data)
    assert bytes(theirs[4 : len(ours) - 2]) == ours[4:-2]
    assert sdk.updateCRC(0, ours, len(ours) - 2) == int.from_bytes(ours[-2:], "little")
    assert bytes(sdk.removeStuffing(list(ours))[8 : 8 + len(data)]) == data


@given(st.lists(parameters, max_size=4), st.binary(max_size=12), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_packets_are_found_in_any_slices_of_the_stream(
    contents: list[bytes], garbage: bytes, slice_size: int
) -> None:
    stream = garbage.replace(b"\xff", b"\xfe") + b"".join(
        instruction_packet(1, Instruction.WRITE, data) for data in contents
    )
    parser = Parser()
    found: list[Packet] = []
    for start in range(0, len(stream), slice_size):
        found += parser.feed(stream[start : start + slice_size], start)
    assert [packet.parameters for packet in found] == contents
    assert all(packet.is_intact for packet in found)


@given(st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_noise_never_stops_the_parser(noise: bytes) -> None:
    """Once the line was silent for a moment, the next packet is understood."""
    parser = Parser(patience_ns=10)
    list(parser.feed(noise, 0))
    ping = instruction_packet(3, Instruction.PING)
    assert list(parser.feed(ping, 11))[-1:] == [Packet(3, Instruction.PING, b"", len(ping))]


def test_a_header_after_garbage_that_looks_like_one_is_found() -> None:
    ping = instruction_packet(3, Instruction.PING)
    parser = Parser()
    assert [p.id for p in parser.feed(b"\x00\xff\xff" + b"\xff\xff\xfd\xfd" + b"\xff" + ping, 0)] == [3]
    assert parser.discarded == 8


def test_a_packet_that_was_cut_off_does_not_swallow_the_next() -> None:
    write = instruction_packet(1, Instruction.WRITE, bytes(20))
    ping = instruction_packet(3, Instruction.PING)
    assert [p.id for p in parse(write[:12] + ping)] == [3]


def test_an_unfinished_packet_is_given_up_after_a_silence() -> None:
    ping = instruction_packet(3, Instruction.PING)
    parser = Parser(patience_ns=1_000)
    assert list(parser.feed(ping[:-1], 0)) == []
    assert [p.id for p in parser.feed(ping[-1:], 1_000)] == [3]  # within the patience
    assert list(parser.feed(ping[:-1], 2_000)) == []
    assert list(parser.feed(ping[-1:], 3_001)) == []
    assert parser.discarded == len(ping)


def test_lengths_that_cannot_be_are_noise() -> None:
    ping = instruction_packet(3, Instruction.PING)
    for length in (b"\x02\x00", b"\xff\xff"):
        assert [p.id for p in parse(HEADER + b"\x01" + length + ping)] == [3]


def test_a_flipped_bit_is_noticed() -> None:
    raw = bytearray(instruction_packet(1, Instruction.WRITE, b"\x74\x00\x00\x02\x00\x00"))
    raw[10] ^= 0x10
    (packet,) = parse(bytes(raw))
    assert packet.id == 1
    assert not packet.is_intact


def test_a_fast_answer_carries_a_crc_after_every_servo() -> None:
    """3 servos with 4 bytes each: the length is 1 + 3 * (error, id, 4, CRC) = 25."""
    raw = fast_status_packet([(0, id, bytes((id, 0, 0, 0))) for id in (3, 7, 4)], 25)
    assert len(raw) == 7 + 25
    assert raw[:8] == bytes.fromhex("FF FF FD 00 FE 19 00 55")
    for end in (16, 24, 32):
        assert crc16(raw[: end - 2]) == int.from_bytes(raw[end - 2 : end], "little")
