"""Short runs of the soak and of the fuzzed packets; the long ones: benchmarks/soak.py, fuzz_packets.py."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.e2e
def test_an_arm_survives_random_faults_within_its_limits_and_every_run_ends_safely(benchmarks: None) -> None:
    import soak

    part = soak.soak(seed=7, ticks=1500, servo_hz=200.0, longest_s=4.0)  # raises where a law does not hold
    assert part.ticks >= 1500
    assert part.goals > 6 * 1200  # of six joints each; some ticks end in a fault
    assert part.ends is not None
    assert sum(sum(found.values()) for found in part.ends.values()) >= part.runs
    text = soak.table([part])
    assert f"{part.ticks:,} control ticks in {part.runs} runs" in text


@pytest.mark.e2e
def test_fuzzed_packets_raise_only_the_drivers_own_errors_and_command_no_motion(benchmarks: None) -> None:
    import fuzz_packets

    part = fuzz_packets.fuzz(seed=7, packets=1500)  # raises where a law does not hold
    assert part.packets >= 1500
    assert len(part.kinds) == 20
    assert part.goals > 1000


@pytest.mark.e2e
def test_a_goal_that_jumps_breaks_the_law_of_the_soak(benchmarks: None) -> None:
    from soak_run import World, koch

    from robot_orl.deploy.virtual.packets import instruction_packet

    world = World(np.random.default_rng(0), 200.0)
    world.put_right(by_hand=True)
    cfg: Any = koch(200.0)
    world.begin(cfg, cfg.limits)
    here = [2048 + round(float(angle) * 4096 / (2 * np.pi)) for angle in world.joints]

    def send(servo: int, tick: int) -> None:
        data = servo.to_bytes(1, "little") + tick.to_bytes(4, "little", signed=True)
        world.look(instruction_packet(254, 0x83, b"\x74\x00\x04\x00" + data))

    send(1, here[0])
    send(1, here[0] + 11)  # 0.017 rad, of 0.015 allowed in 5 ms and two ticks of rounding
    assert not world.broken
    send(1, here[0] + 100)
    assert len(world.broken) == 1
    assert world.broken[0].startswith("shoulder_pan was sent 0.137 rad on in a tick")
    send(2, 0)
    assert "outside of" in world.broken[1]


def test_lies_do_not_follow_each_other_and_every_change_changes_something(benchmarks: None) -> None:
    from fuzz_kinds import CHANGES, TRUE_FOR, Fuzzer, body_of, sealed

    from robot_orl.deploy.virtual.packets import Parser, status_packet

    reading = status_packet(3, 0, bytes(range(40, 61)))
    assert body_of(reading) == b"\0" + bytes(range(40, 61))
    assert sealed(body_of(reading), 3) == reading
    rng = np.random.default_rng(0)
    for change in CHANGES:
        assert any(change(rng, reading) != reading for _ in range(20)), change.__name__
    fuzz = Fuzzer(rng)
    fuzz.share = 1.0
    lied_at = []
    for number in range(4000):
        packets = list(Parser().feed(fuzz(reading), 0))
        if any(
            p.is_intact and p.id == 3 and len(p.parameters) == 22 and p.parameters[1:] != reading[9:-2]
            for p in packets
        ):
            lied_at.append(number)
    assert len(lied_at) > 50
    assert np.diff(lied_at).min() >= TRUE_FOR
