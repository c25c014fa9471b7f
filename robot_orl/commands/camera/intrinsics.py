"""`robot-orl camera intrinsics`: focal lengths, centre and distortion from views of a board."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import cv2

from robot_orl.commands.tables import out, print_rows
from robot_orl.deploy.sensors.boards import Board
from robot_orl.deploy.sensors.calibrate_intrinsics import Quality, ViewCollector, calibrate
from robot_orl.deploy.sensors.camera import live_frames
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.source import CameraConfig, is_device
from robot_orl.deploy.sensors.stored_frames import all_frames
from robot_orl.errors import DataError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.schema import Schema, setting
from robot_orl.types import Array


@dataclass
class Config(Schema):
    """Calibrate a camera's lens: show it the board near and far, tilted, and in every corner of the frame."""

    source: str = setting(help="A USB camera (0, /dev/v4l/by-id/...), a video or a folder of images.")
    board: str = setting("board.yaml", "File made by `robot-orl camera board`.")
    out: str = setting("camera.yaml", "Where the intrinsics go.")
    views: int = setting(40, "Different views that are enough.", low=6, high=500)
    duration_s: float = setting(
        120.0, "How long a USB camera is watched at most.", unit="s", low=1, high=3600
    )
    width: int = setting(640, "Of a USB camera's frame.", unit="pixels", low=16, high=3840)
    height: int = setting(480, "Of a USB camera's frame.", unit="pixels", low=16, high=2160)


def run(cfg: Config) -> None:
    board = Board.load(cfg.board)
    collector: ViewCollector | None = None
    with StopFlag() as stop, Bar("views of the board", cfg.views) as bar:
        for name, frame in _frames(cfg):
            stop.check("nothing was written")
            if collector is None:
                collector = ViewCollector(board, frame.shape[1], frame.shape[0], cfg.views)
            if collector.add(name, cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)):
                bar.advance()
            if len(collector.views) == cfg.views:
                break
    if collector is None or not collector.views:
        raise DataError(f"no frame of '{cfg.source}' shows the board of {cfg.board}")
    found, quality = calibrate(collector.views, board, *collector.size)
    figures = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(quality).items()}
    replace(found, quality=figures).save(cfg.out)
    print_rows(_rows(found, quality, collector.seen))
    out.print(f"written to {cfg.out}")


def _frames(cfg: Config) -> Iterator[tuple[str, Array]]:
    if not is_device(cfg.source):
        return all_frames(cfg.source)
    return live_frames(CameraConfig(cfg.source, cfg.width, cfg.height), cfg.duration_s)


def _rows(found: Intrinsics, quality: Quality, seen: int) -> Iterator[tuple[str, str]]:
    (fx, fy), (cx, cy) = (found.matrix[[0, 1], [0, 1]], found.matrix[[0, 1], [2, 2]])
    sigma_x, sigma_y = quality.focal_sigma_px
    yield "frame", f"{found.width} x {found.height}"
    yield "focal length [px]", f"{fx:.2f} +- {sigma_x:.2f}, {fy:.2f} +- {sigma_y:.2f}"
    yield "centre [px]", f"{cx:.2f}, {cy:.2f}"
    yield "distortion k1 k2 p1 p2 k3", ", ".join(f"{k:.5f}" for k in found.distortion)
    yield "reprojection error [px]", f"{quality.rms_px:.3f} rms over {quality.corners} corners"
    yield "views", f"{quality.views} different ones of {seen} that show the board"
    if quality.left_out:
        yield "left out", f"{', '.join(quality.left_out)}: they do not fit the others"
    yield "frame covered", f"{quality.coverage:.0%}"
    yield "tilt of the board [deg]", f"{quality.tilt_deg[0]:.0f} .. {quality.tilt_deg[1]:.0f}"
    for advice in quality.advice:
        yield "better", advice
