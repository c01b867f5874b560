"""mailtls-observer: sees the first messages of TLS that come in to the mail ports, and tells mailtlsd.

    mailtls-observer [--config FILE]

Opens its packet sockets, gives up the one capability that it had, and listens. Optional: without it mailtlsd goes by
the log alone.

Exit status: 0 stopped; 2 no packet socket, or a configuration that cannot be followed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from time import time

from mailtls import __version__
from mailtls.config import Config, read_config
from mailtls.edge.hellosocket import HelloSender
from mailtls.edge.loglines import begin_logging
from mailtls.edge.packetsocket import PacketSocket, drop_capabilities
from mailtls.edge.sdnotify import Notifier
from mailtls.errors import ConfigError
from mailtls.service.observer import Observer

LOG = logging.getLogger("mailtls")
STOPPED, MISCONFIGURED = 0, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; give its exit status."""
    asked = _parser().parse_args(arguments)
    begin_logging("mailtls-observer")
    try:
        config = read_config(asked.config)
        packets = [PacketSocket(version, config.observer.ports) for version in (4, 6)]
        drop_capabilities()
    except ConfigError as error:
        print(f"mailtls-observer: {error}", file=sys.stderr)  # noqa: T201
        return MISCONFIGURED
    return asyncio.run(_observe(config, packets))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "mailtls-observer", description="See what mail servers offer when they begin TLS, and tell mailtlsd."
    )
    parser.add_argument("--config", metavar="FILE", help="mailtls.toml, in place of /etc/mailtls/mailtls.toml")
    parser.add_argument("--version", action="version", version=f"mailtls-observer {__version__}")
    return parser


async def _observe(config: Config, packets: list[PacketSocket]) -> int:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - inside asyncio.run
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    notifier = Notifier()
    ports = ", ".join(map(str, config.observer.ports))
    notifier.send("READY=1", f"STATUS=sees hellos to port {ports}")
    LOG.info("mailtls-observer %s sees hellos to port %s", __version__, ports)
    try:
        await Observer(packets, HelloSender(config.places.hellos), time, lambda: notifier.send("WATCHDOG=1")).run()
    except asyncio.CancelledError:
        notifier.send("STOPPING=1")
    return STOPPED


if __name__ == "__main__":
    sys.exit(main())
