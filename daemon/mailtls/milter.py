"""mailtls-milter: tells mailtlsd what Postfix knows of each message's session, and Postfix mailtlsd's verdict.

    mailtls-milter [--config FILE] [--socket PATH]

Needs no mailtlsd: what a verdict knows is read from a file that mailtlsd leaves in /run/mailtls/milter. Postfix needs
no mailtls-milter either: `setup --milter` tells it to go on without (default_action=accept).

Exit status: 0 stopped; 1 the socket cannot be had; 2 the configuration cannot be followed, or pymilter is missing.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from mailtls import __version__
from mailtls.config import read_config
from mailtls.edge.factssender import FactsSender
from mailtls.edge.loglines import begin_logging
from mailtls.edge.milter import PROGRAM, MilterSocket
from mailtls.edge.sdnotify import Notifier
from mailtls.edge.snapshotreader import SnapshotReader
from mailtls.errors import ConfigError, MailtlsError
from mailtls.service.milter import SAID_EVERY_S, FactsTeller, Milter

LOG = logging.getLogger("mailtls.milter")
STOPPED, FAILED, MISCONFIGURED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; give its exit status."""
    asked = _parser().parse_args(arguments)
    begin_logging(PROGRAM)
    sys.excepthook = _FaultHook()
    try:
        places = read_config(asked.config).places
        path = Path(asked.socket) if asked.socket else places.milter_socket
        reader = SnapshotReader(places.verdicts, LOG.warning)
        milter = Milter(reader.current, FactsTeller(FactsSender(places.facts).send, LOG.warning))
        socket = MilterSocket(path, milter.begin)
        socket.open()
        reader.current()
        notifier = Notifier()
        notifier.send("READY=1", f"STATUS=listens at {path}")
        # libmilter waits for these in a thread of its own; one that does not block them would take them first.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        threading.Thread(target=_live, args=(notifier,), daemon=True).start()
        LOG.info("%s %s listens at %s", PROGRAM, __version__, path)
        socket.serve()
    except ConfigError as error:
        LOG.error("%s", error)  # noqa: TRY400  (a sentence)
        return MISCONFIGURED
    except MailtlsError as error:
        LOG.error("%s", error)  # noqa: TRY400
        return FAILED
    return STOPPED


def _live(notifier: Notifier) -> None:
    """Tell systemd that threads get their turn; one that holds them all up ends with the program."""
    while notifier.watchdog_seconds is not None:
        notifier.send("WATCHDOG=1")
        time.sleep(notifier.watchdog_seconds / 3)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(PROGRAM, description="Tells mailtlsd what Postfix knows of each message.")
    parser.add_argument("--config", metavar="FILE", help="mailtls.toml, in place of /etc/mailtls/mailtls.toml")
    parser.add_argument("--socket", metavar="PATH", help="where Postfix finds it, in place of the usual place")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


class _FaultHook:
    """Says in one line, at most once a minute, what nobody foresaw in a callback; the mail goes on.

    pymilter prints an exception by sys.excepthook.
    """

    def __init__(self) -> None:
        self._said_at = -SAID_EVERY_S

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if time.monotonic() - self._said_at >= SAID_EVERY_S:
            self._said_at = time.monotonic()
            LOG.error("a fault of %s (%s: %s); this went on as if there were no milter", PROGRAM, kind.__name__, error)
            LOG.debug("", exc_info=(kind, error, trace))


if __name__ == "__main__":
    sys.exit(main())
