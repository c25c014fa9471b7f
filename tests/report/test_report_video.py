"""Pictures: which states are drawn, for how long, and what is written on them."""

import base64

import cv2
import numpy as np
import pytest

from robot_orl.report.video import (
    BAD_BGR,
    GOOD_BGR,
    animated_webp,
    frame_steps,
    strip_webp,
    with_progress,
)


def decoded(address: str) -> np.ndarray:
    prefix = "data:image/webp;base64,"
    assert address.startswith(prefix)
    return np.frombuffer(base64.b64decode(address[len(prefix) :]), np.uint8)


def grey(level: int) -> np.ndarray:
    return np.full((60, 80, 3), level, np.uint8)


def test_first_and_last_state_are_always_drawn() -> None:
    assert frame_steps(50, 50) == list(range(51))
    assert frame_steps(200, 4) == [0, 50, 100, 150, 200]
    assert frame_steps(3, 50) == [0, 1, 2, 3]
    assert frame_steps(1, 5) == [0, 1]


def test_the_bar_shows_how_far_and_whether_it_is_done() -> None:
    frame = np.zeros((120, 100, 3), np.uint8)
    frame[:, :, 0] = 200  # red
    going, done = with_progress(frame, 0.25, False), with_progress(frame, 1.0, True)
    assert (going[0, 0] == (0, 0, 200)).all()  # BGR now
    assert (going[-1, :25] == BAD_BGR).all()
    assert (going[-1, 25:] == (0, 0, 100)).all()
    assert (done[-1] == GOOD_BGR).all()
    assert (going[-4] == (0, 0, 200)).all()  # three pixels tall


def test_an_animation_keeps_its_frames_and_their_durations_and_never_ends() -> None:
    address = animated_webp([grey(0), grey(120), grey(250)], [40, 80, 1500])
    ok, found = cv2.imdecodeanimation(decoded(address))
    assert ok
    assert list(found.durations) == [40, 80, 1500]
    assert [round(float(f[..., :3].mean())) for f in found.frames] == [0, 120, 250]
    assert found.loop_count == 0


def test_a_strip_is_as_large_as_a_frame_and_reads_row_by_row() -> None:
    strip = cv2.imdecode(decoded(strip_webp([grey(i * 40) for i in range(6)])), cv2.IMREAD_COLOR)
    assert strip.shape[0] == 60
    assert strip.shape[1] == 78  # three columns of 26
    seen = [int(strip[y, x, 0]) for y in (15, 45) for x in (13, 39, 65)]
    assert seen == pytest.approx([0, 40, 80, 120, 160, 200], abs=2)
    short = cv2.imdecode(decoded(strip_webp([grey(0), grey(200)])), cv2.IMREAD_COLOR)
    assert int(short[45, 65, 0]) == pytest.approx(200, abs=2)  # the last frame fills what is left
