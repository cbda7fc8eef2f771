"""The systemd notification protocol: a datagram to the socket named in NOTIFY_SOCKET.

Source: sd_notify(3) and sd_watchdog_enabled(3) of systemd. Without the socket nothing is sent.
"""

from __future__ import annotations

import os
import socket


class Notifier:
    """Tells the service manager how the run is doing."""

    def __init__(self, address: str | None, watchdog_s: float | None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s

    @classmethod
    def from_environment(cls) -> Notifier:
        """The socket and the watchdog period systemd gave this process, if any."""
        watched = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        period_us = os.environ.get("WATCHDOG_USEC")
        watchdog_s = int(period_us) / 1e6 if period_us and watched else None
        return cls(os.environ.get("NOTIFY_SOCKET"), watchdog_s)

    @property
    def is_heard(self) -> bool:
        """A service manager started this process."""
        return bool(self._address)

    def starting(self, within_s: float) -> None:
        """Start-up goes on; systemd shall wait so much longer for it."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(within_s * 1e6)}")

    def ready(self) -> None:
        """Start-up is finished."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def alive(self) -> None:
        """The watchdog ping; only ever sent after progress or a declared wait was seen."""
        self._send("WATCHDOG=1")

    def stopping(self, grace_s: float) -> None:
        """The drain began; systemd shall wait for it."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int((grace_s + 5) * 1e6)}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the zero byte of an abstract socket.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(message.encode(), address)
            except OSError:
                return  # a manager that went away must not take the run with it
