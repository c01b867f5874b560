"""mailtls-gateway: the program behind the sslv3 door. Takes its key, its sockets and its terms, and serves.

    mailtls-gateway [--config FILE] [--key FILE --certificate FILE]

Key (PKCS #8) and certificate are DER files: those that are named, or `key` and `certificate` among the credentials that
systemd passed (LoadCredential=). Sockets are those that systemd passed, or [gateway] listen of mailtls.toml. What
happens is said on the standard output, a line each, as Postfix's tlsproxy says it: the unit gives it to the mail log.

Exit status: 0 stopped; 1 a socket cannot be had; 2 configuration, or no NSS that serves SSLv3.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mailtls import __version__
from mailtls.config import read_config
from mailtls.core.endpoint import parse_endpoint
from mailtls.core.gatewayrule import GatewaySettings
from mailtls.core.printable import printable
from mailtls.core.waivedterms import WaivedTerms
from mailtls.edge.activation import passed_sockets
from mailtls.edge.noticeboard import NoticeBoard
from mailtls.edge.nss import Engine
from mailtls.edge.sdnotify import Notifier
from mailtls.edge.waivedtermsfile import WaivedTermsFile
from mailtls.errors import ConfigError, MailtlsError
from mailtls.service.gateway import Gateway

STOPPED, FAILED, MISCONFIGURED = 0, 1, 2
WARNING, INFORMATION = "<4>", "<6>"  # sd-daemon(3)
BACKLOG = 100
LARGEST = 64 * 1024  # bytes of a key or a certificate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; give its exit status."""
    asked = _parser().parse_args(arguments)
    try:
        config = read_config(asked.config)
        engine = Engine(_der(asked.key, "key"), _der(asked.certificate, "certificate"))
        waived = WaivedTermsFile(NoticeBoard(config.places.keeper_socket.parent))
        return asyncio.run(_serve(engine, config.gateway, waived.now))
    except ConfigError as error:
        _say(f"fatal: {error}")
        return MISCONFIGURED
    except MailtlsError as error:
        _say(f"fatal: {error}")
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("mailtls-gateway", description="Ends SSLv3, RC4 and 3DES for waived mail servers.")
    parser.add_argument("--config", metavar="FILE", help="mailtls.toml, in place of /etc/mailtls/mailtls.toml")
    parser.add_argument("--key", metavar="FILE", help="its own RSA key, PKCS #8 in DER")
    parser.add_argument("--certificate", metavar="FILE", help="the certificate of that key, in DER")
    parser.add_argument("--version", action="version", version=f"mailtls-gateway {__version__}")
    return parser


def _der(named: str | None, credential: str) -> bytes:
    """Read key or certificate. Raises ConfigError."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if named is None and directory is None:
        raise ConfigError(f"where is the {credential} of the gateway? name it with --{credential}, or start its unit")
    path = Path(named) if named is not None else Path(directory or "", credential)
    try:
        with path.open("rb") as file:
            return file.read(LARGEST)
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or '').lower()}; mailtlsctl setup makes it") from error


async def _serve(engine: Engine, settings: GatewaySettings, waived: Callable[[], WaivedTerms]) -> int:
    listening = _sockets(settings)
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - inside asyncio.run
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    notifier = Notifier()
    notifier.send("READY=1", f"STATUS=serving with NSS {engine.version}")
    try:
        await Gateway(engine, settings, _say, waived=waived).run(listening)
    except asyncio.CancelledError:
        notifier.send("STOPPING=1")
    return STOPPED


def _sockets(settings: GatewaySettings) -> list[socket.socket]:
    """Give the sockets to listen on. Raises ConfigError, MailtlsError."""
    passed = [socket.socket(fileno=each.descriptor) for each in passed_sockets()]
    if passed:
        return passed
    if not settings.listen:
        raise ConfigError("no socket to listen on; start mailtls-gateway.socket, or set listen in [gateway]")
    return [_listening(each) for each in settings.listen]


def _listening(spelled: str) -> socket.socket:
    try:
        place = parse_endpoint(spelled)
        family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        return socket.create_server((place.host, place.number), family=family, backlog=BACKLOG)
    except ValueError as error:
        raise ConfigError(f'[gateway] listen = "{spelled}": {error}; write address:port') from error
    except OSError as error:
        raise MailtlsError(f"{spelled}: {(error.strerror or '').lower()}; see who listens there: ss -ltnp") from error


def _say(line: str) -> None:
    """Write one line of the mail log; under systemd with its priority in front."""
    prefix = ""
    if "JOURNAL_STREAM" in os.environ:
        prefix = WARNING if line.startswith(("warning:", "fatal:")) else INFORMATION
    sys.stdout.write(f"{prefix}{printable(line, 1000)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
