"""Readiness for systemd (sd_notify(3)): one datagram to the socket it names, nothing when it names none."""

import os
import socket


def notify(state: str) -> None:
    """Send for example "READY=1" or "STOPPING=1"."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return  # nobody listens: the node works all the same
