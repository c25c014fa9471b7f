"""In the place of hidapi's module of this name: devices are Unix sockets, whose packets are reports.

FAKE_HID names a folder; a socket in it called VENDOR:PRODUCT is a device that is plugged in, and it is out
again once the other end is closed. The functions are those of hidapi 0.15 that are used.
"""

import os
import socket
from pathlib import Path
from typing import Any


def enumerate(vendor_id: int = 0, product_id: int = 0) -> list[dict[str, Any]]:
    found = []
    for path in sorted(Path(os.environ["FAKE_HID"]).iterdir()):
        vendor, product = (int(number, 16) for number in path.name.split(":"))
        if vendor_id in (0, vendor):
            found.append(
                {
                    "path": os.fsencode(path), "vendor_id": vendor, "product_id": product, "usage_page": 1,
                    "usage": 8, "product_string": "SpaceMouse Compact", "interface_number": 0,
                }
            )  # fmt: skip
    return found


class device:
    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def open_path(self, path: bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.connect(path)
        except OSError:
            raise OSError("open failed") from None

    def set_nonblocking(self, value: int) -> int:
        assert self._socket is not None
        self._socket.setblocking(not value)
        return 0

    def read(self, max_length: int) -> list[int]:
        if self._socket is None:
            raise ValueError("not open")
        try:
            report = self._socket.recv(max_length)
        except BlockingIOError:
            return []
        if not report:
            raise OSError("read error")
        return list(report)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
