"""A trial run of services of master.cf with a staged configuration, before Postfix is told of it.

`smtpd -S -u` on a connected socket is a full session (facts 2.9b): it reads main.cf, loads certificates, opens tables,
drops its privilege, enters the chroot where the service has one, greets, and shakes hands. What `postconf` and `postfix
check` do not see is seen here: bad numbers, missing tables, protocol lists that turn TLS off for everybody. postscreen
cannot stand alone; it is started as master would, with a socket of ours and without its cache, which only one process
may open; whom it lets through it hands to the smtpd that runs now.

What it says does not reach the site's log, nor any postmaster: its log goes to a socket of ours, by giving a path to
`postlog_service_name` (global/maillog_client.c puts it behind $queue_directory/public/), and notify_classes is empty.

SECURITY: it runs as Postfix runs it, and takes one connection, from us.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mailtls.core.mastercf import Service
from mailtls.core.sighting import Sighting
from mailtls.edge.doorprobe import Knock, look, visit
from mailtls.edge.masterchild import MasterChild
from mailtls.edge.postconf import PATH
from mailtls.errors import PostfixError

TELLING = re.compile(r"(?:^|: )((?:fatal|panic|error|warning): .*|cannot load .*|.*-- throttling)$")
HEADER = re.compile(r"^.{1,80}?\[[0-9]{1,10}\]: ")
PATIENCE_S = 10.0
FEW = 4
"""So many of its words are repeated at most."""


WITHOUT_NEIGHBOURS = (
    "-o", "smtpd_tls_security_level=none", "-o", "smtpd_use_tls=no", "-o", "smtpd_enforce_tls=no",
    "-o", "smtpd_tls_wrappermode=no", "-o", "smtpd_client_event_limit_exceptions=0.0.0.0/0,[::]/0",
)  # fmt: skip
"""Where Postfix does not run, or is broken: without tlsmgr and anvil smtpd would wait before its greeting."""

Act = Callable[[], Sighting]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where Postfix's programs, queue and configuration, and a socket of ours are.

    `chroots` is what `-` in the chroot column means.
    """

    configuration: Path
    programs: Path
    queue: Path
    words: Path
    chroots: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """What a client saw of the service, and what Postfix said about it."""

    sighting: Sighting
    words: tuple[str, ...]


def service_fault(service: Service, around: Surroundings) -> str | None:
    """Say in one clause why master could not make the service's socket or run its program, or None."""
    program = around.programs / service.command
    if not os.access(program, os.X_OK) or not program.is_file():
        return f"{program} is no program that can be run"
    if service.kind != "inet" and "/" in service.name:
        # A socket that cannot be made kills the running master (util/unix_listen.c, msg_fatal).
        socket_path = around.queue / ("public" if service.fields[2] == "n" else "private") / service.name
        if not socket_path.parent.is_dir():
            return f"{socket_path.parent} is no directory"
    return None


@dataclass(frozen=True, slots=True)
class Visit:
    """One service that is to be tried, smtpd or postscreen: from which address, and how clients approach it."""

    service: Service
    host: str
    knock: Knock


def rehearse(configuration: Path, visits: Iterable[Visit], around: Surroundings) -> dict[str, Trial]:
    """Try services with a configuration directory; give what came of it by their names. Raises PostfixError.

    All are started first, since one that dies takes a second for it (util/msg_output.c). Where their words name the
    directory they name the real one instead.
    """
    with ExitStack() as stack:
        begun = [stack.enter_context(_Stage(configuration, each, around, n)) for n, each in enumerate(visits)]
        return {each.key: each.play() for each in begun}


class _Stage:
    """One service under trial, with an ear of its own for its words."""

    def __init__(self, configuration: Path, visit: Visit, around: Surroundings, number: int) -> None:
        self.key = visit.service.key
        self._configuration = configuration
        self._visit = visit
        self._around = around
        self._words = around.words.with_name(f"{around.words.name}.{number}")
        self._program = around.programs / visit.service.command

    def __enter__(self) -> _Stage:
        with ExitStack() as stack, self._told_as_trouble():
            self._ear = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            stack.callback(self._words.unlink, missing_ok=True)
            self._words.unlink(missing_ok=True)
            self._ear.bind(str(self._words))
            self._ear.setblocking(False)
            self._words.chmod(0o666)
            alone = self._visit.service.command == "smtpd"
            self._act = stack.enter_context(self._alone() if alone else self._behind_a_socket())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def play(self) -> Trial:
        """Be its client; then hear what it said."""
        with self._told_as_trouble():
            sighting = self._act()
        meant = str(self._around.configuration)
        return Trial(sighting, tuple(word.replace(str(self._configuration), meant) for word in _heard(self._ear)))

    @contextmanager
    def _told_as_trouble(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PostfixError(f"{self._program} cannot be tried: {error.strerror or error}") from error

    @contextmanager
    def _behind_a_socket(self) -> Iterator[Act]:
        host, knock = self._visit.host, self._visit.knock
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as listening:
            listening.bind((host, 0))
            listening.listen(8)
            address = listening.getsockname()[:2]
            command = [*self._command("-l"), "-o", "postscreen_cache_map="]
            with MasterChild(command, self._environment(), listening):
                yield lambda: visit(address, knock)

    @contextmanager
    def _alone(self) -> Iterator[Act]:
        knock = self._visit.knock
        client, server = _connected(self._visit.host)
        with client:
            with server:
                process = subprocess.Popen(  # noqa: S603 - Postfix's own program and the operator's options
                    [*self._command("-S"), *(() if knock.tries_tls else WITHOUT_NEIGHBOURS)],
                    stdin=server.fileno(), stdout=server.fileno(), stderr=subprocess.DEVNULL, cwd=self._around.queue,
                    env=self._environment(), start_new_session=True,
                )  # fmt: skip
            try:
                yield lambda: _looked(client, knock, process)
            finally:
                client.close()
                _ended(process)

    def _environment(self) -> dict[str, str]:
        """Name our socket there as well: that is where a program logs before it has read its parameters."""
        words = str(self._words)
        return {"MAIL_CONFIG": str(self._configuration), "PATH": PATH, "LANG": "C", "POSTLOG_SERVICE": words}

    def _command(self, how: str) -> list[str]:
        """Run it as master would, and then say where to log: of two `-o` the last counts."""
        service, around = self._visit.service, self._around
        chrooted = service.chroot == "y" or (service.chroot == "-" and around.chroots)
        ours = {
            "syslog_name": "postfix/mailtls-preflight",
            "notify_classes": "",
            "maillog_file": "/dev/null",
            "maillog_file_prefixes": "/dev",
            "postlog_service_name": os.path.relpath(self._words, around.queue / "public"),
        }
        jail = ["-c"] if chrooted else []
        return [
            str(self._program), how, "-u", "-n", service.name, "-t", service.kind, *jail, *service.argv,
            *(word for name, value in ours.items() for word in ("-o", f"{name}={value}")),
        ]  # fmt: skip


def _looked(client: socket.socket, knock: Knock, process: subprocess.Popen[bytes]) -> Sighting:
    """Look, and wait until the program has said its last word."""
    sighting = look(client, knock)
    _ended(process)
    return sighting


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _connected(host: str) -> tuple[socket.socket, socket.socket]:
    """Make both ends of a TCP connection at an address of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.bind((host, 0))
        listening.listen(1)
        client = socket.create_connection(listening.getsockname()[:2], PATIENCE_S, (host, 0))
        while True:
            server, peer = listening.accept()
            if peer[:2] == client.getsockname()[:2]:
                return client, server
            server.close()  # a stranger who scans ports


def _heard(ear: socket.socket) -> tuple[str, ...]:
    """Give what Postfix said that tells of trouble, without its header."""
    said: dict[str, None] = {}
    with suppress(BlockingIOError):
        while True:
            line = ear.recv(8192).decode("utf-8", "replace").strip()
            if found := TELLING.search(HEADER.sub("", line, count=1)):
                said[found.group(1)] = None
    return tuple(said)[:FEW]
