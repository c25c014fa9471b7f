"""The process of a virtual camera: draws the model as it is now and sends it to whoever looks.

    python -m robot_orl.deploy.virtual.camera_process FD SIZE SCENE SOCKET FPS

FD: memory with a channel (sensors/channel.py) of the model's qpos, SIZE float64. It prints a line when it is
ready and ends when its stdin does. Nothing is drawn while nobody looks.
"""

import mmap
import os
import signal
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler

import cv2
import numpy as np

from robot_orl.deploy.sensors.camera_process import prefer_over_others
from robot_orl.deploy.sensors.channel import Channel, size_of
from robot_orl.deploy.timing import NS_PER_S, RealClock, Ticker
from robot_orl.deploy.virtual.eye import Eye

JPEG_QUALITY = 90


class Frames:
    """The latest frame, for threads that wait for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._latest: tuple[int, bytes, int] = 0, b"", 0
        self.viewers = 0

    def show(self, jpeg: bytes, t_ns: int) -> None:
        with self._changed:
            self._latest = self._latest[0] + 1, jpeg, t_ns
            self._changed.notify_all()

    def after(self, number: int) -> tuple[int, bytes, int]:
        """Number, JPEG and time [ns] of one that is newer; waits for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._latest[0] > number)
            return self._latest


class Viewing(BaseHTTPRequestHandler):
    """Whoever looks gets every frame that is new when the last one has gone out; see sensors/network.py."""

    frames: Frames

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        self.frames.viewers += 1
        try:
            while True:
                number, jpeg, t_ns = self.frames.after(number)
                told = f"Content-Length: {len(jpeg)}\r\nX-Timestamp: {t_ns / NS_PER_S:.6f}"
                head = f"--frame\r\nContent-Type: image/jpeg\r\n{told}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
        except OSError:
            pass  # they look no longer
        finally:
            self.frames.viewers -= 1

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 5


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTSTP, signal.SIGQUIT):  # keys are for the parent, which ends us
        signal.signal(number, signal.SIG_IGN)
    descriptor, size, scene, path, fps = sys.argv[1:]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    prefer_over_others()  # a camera of glass does not care how busy the computer is
    capacity = 8 * int(size)
    channel = Channel(mmap.mmap(int(descriptor), size_of(capacity)), 0, capacity)
    eye = Eye(scene)
    eye.look(np.zeros(int(size)))  # the first frame takes longest, and tells whether there is any OpenGL
    Viewing.frames = frames = Frames()
    server = Server(path, Viewing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    ticker = Ticker(round(NS_PER_S / float(fps)), RealClock())
    while True:
        ticker.wait()
        now = channel.read()
        if now is None or not frames.viewers:
            continue
        frame = eye.look(np.frombuffer(now.payload.tobytes()))
        packed = cv2.imencode(
            ".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )[1]
        frames.show(packed.tobytes(), now.t_ns)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
