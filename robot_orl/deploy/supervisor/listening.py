"""Where a page is served: its socket, and what another machine calls the place."""

import ipaddress
import socket

from robot_orl.errors import UsageError


def listen(host: str, port: int, prefix: str) -> socket.socket:
    """port: 0: any that is free.  prefix: of the settings host= and port=, as they are asked for.

    Raises: UsageError: nothing can be served there.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # :: is named by IPv4
        return socket.create_server(address[:2], family=family, backlog=64, dualstack_ipv6=both)
    except (OSError, UnicodeError) as error:
        said = (getattr(error, "strerror", None) or str(error)).partition(" (")[0]
        raise UsageError(
            f"no page can be served at {prefix}host={host} {prefix}port={port}: {said}"
        ) from error


def address_of(listening: socket.socket) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0])


def named(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """What another machine would call it."""
    if address.is_unspecified:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))  # sends nothing; tells our address
                return str(probe.getsockname()[0])
            except OSError:
                return socket.gethostname()
    return f"[{address}]" if address.version == 6 else str(address)
