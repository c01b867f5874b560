"""A keeper with doors in a network of its own: a strict port and doors that say which they are, and whom they see.

The doors are a small SMTP server of this process, since what is tried here is who is led where; that Postfix behaves as
they do is tried in tests/postfix.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.postfix.certificates import KeyType, make_certificate
from tests.postfix.netns import SERVER4, SERVER6, Namespace, Network, made, network, why_no_namespaces
from tests.service.keeperhouse import KeeperHouse, wait_until

from mailtls.core.keeperprotocol import Reply

LEGACY, LEGACY_RSA, STRICT = 10225, 10125, 25
DOORS = {"legacy": LEGACY, "legacy-rsa": LEGACY_RSA}
why_not = why_no_namespaces()


class Doors:
    """Listens in a namespace at ports of both families; every client is told the port it came to."""

    def __init__(self, namespace: Namespace, directory: Path, ports: tuple[int, ...] = (STRICT, *DOORS.values())) -> None:
        chain = make_certificate(directory, KeyType.RSA).chain
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._context.minimum_version = ssl.TLSVersion.TLSv1
        self._context.set_ciphers("ALL:@SECLEVEL=0")
        self._context.load_cert_chain(chain)
        self._namespace = namespace
        self._listening: dict[int, list[socket.socket]] = {}
        self.seen: list[tuple[int, str, str]] = []
        """Of each session: the port it came to, the client's address, and the address it came to."""
        self.is_stopped = threading.Event()
        for port in ports:
            self.open(port)

    def open(self, port: int) -> None:
        with self._namespace:
            self._listening[port] = [_listening(family, port) for family in (socket.AF_INET, socket.AF_INET6)]
        for each in self._listening[port]:
            threading.Thread(target=self._accept, args=(each, port), daemon=True).start()

    def close(self, port: int) -> None:
        for each in self._listening.pop(port):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close_all(self) -> None:
        for port in list(self._listening):
            self.close(port)

    def _accept(self, listening: socket.socket, port: int) -> None:
        with suppress(OSError):
            while True:
                client, where = listening.accept()
                self.seen.append((port, where[0], client.getsockname()[0]))
                threading.Thread(target=self._serve, args=(client, port), daemon=True).start()

    def _serve(self, client: socket.socket, port: int) -> None:
        """Be a mail server: banner, EHLO, STARTTLS, NOOP, QUIT. While it is stopped it says nothing."""
        with suppress(OSError), client:
            if self.is_stopped.is_set():
                client.recv(1)
                return
            client.sendall(f"220 {port} ESMTP\r\n".encode())
            while line := client.recv(512):
                match line.split()[:1]:
                    case [b"EHLO"]:
                        client.sendall(b"250-mx\r\n250 STARTTLS\r\n")
                    case [b"STARTTLS"]:
                        client.sendall(b"220 go\r\n")
                        client = self._context.wrap_socket(client, server_side=True)
                    case [b"QUIT"]:
                        client.sendall(b"221 bye\r\n")
                        return
                    case _:
                        client.sendall(f"250 {port}\r\n".encode())


def _listening(family: socket.AddressFamily, port: int) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listening.bind(("::" if family == socket.AF_INET6 else "", port))
    listening.listen(64)
    return listening


class DoorHouse:
    """A network, its doors, and a keeper's place; the keeper runs on the mail server."""

    def __init__(self, net: Network, doors: Doors, house: KeeperHouse) -> None:
        self.net = net
        self.doors = doors
        self.house = house
        self.show(DOORS)

    def settle(self) -> None:
        """Return when the round that goes on is over."""
        self.house.ask({"op": "withdraw", "network": "203.0.113.250"})

    def show(self, doors: dict[str, int], own: tuple[str, ...] = ("127.0.0.0/8", "::1/128"), **fields: Any) -> None:
        """Write the view, as `setup` does."""
        view = self.house.root / "etc" / "mailtls" / "postfix.toml"
        text = f'table_type = "{self.house.config.postfix.table_type}"\nown_networks = {list(own)}\n'
        more = "".join(f"{key} = {value}\n" for key, value in fields.items())
        for level, port in doors.items():
            text += f'[[doors]]\nlevel = "{level}"\nport = {port}\n{more}[doors.offers]\nversions = ["TLSv1", "TLSv1.2"]\n'
        beside = view.with_suffix(".new")
        beside.write_text(text)
        beside.rename(view)

    def start(self) -> subprocess.Popen[str]:
        """Start the keeper on the mail server, and return when its doors are open."""
        with self.net.server:
            process = self.house.start()
        self.until_open()
        return process

    def until_open(self) -> None:
        wait_until(lambda: all(door.up for door in self.states()) and bool(self.states()))

    def states(self) -> tuple[Any, ...]:
        health = self.house.ask({"op": "status"}).health
        assert health is not None
        return health.doors

    def faults(self) -> dict[str, str]:
        health = self.house.ask({"op": "status"}).health
        assert health is not None
        return {fault.kind: fault.sentence for fault in health.faults}

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        with self.net.server:
            return self.house.run(*options)

    def grant(self, network: str, level: str = "legacy", **changes: Any) -> Reply:
        from tests.service.keeperhouse import grant

        identity = network.replace("/", "-").replace(":", "_") + f".{level}"
        return self.house.ask(grant(network, level=level, id=identity, **changes))

    def listing(self) -> str:
        """List our table."""
        with suppress(RuntimeError):
            return self.net.server.run("nft", "list", "table", "inet", "mailtls")
        return ""

    # --- peers -------------------------------------------------------------------------------------------------

    def port_for(self, source: str, port: int = STRICT, at: str | None = None, where: Namespace | None = None) -> int | None:
        """Connect from this address, and say which port's service answers; None: nobody does."""
        try:
            with self.session(source, port, at, where) as (_, answered):
                return answered
        except OSError:
            return None

    @contextmanager
    def session(
        self, source: str, port: int = STRICT, at: str | None = None, where: Namespace | None = None
    ) -> Iterator[tuple[socket.socket, int]]:
        """Hold a session; gives the socket, and the port that its banner names."""
        six = ":" in source
        with where or self.net.peers:
            client = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
        with client:
            client.settimeout(10)
            client.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND: any address of the network
            client.bind((source, 0))
            client.connect((at or (SERVER6 if six else SERVER4), port))
            yield client, int(client.recv(100).split()[1])

    def goes_on(self, client: socket.socket) -> int:
        """Say something in a session, and give the port that answers."""
        client.sendall(b"NOOP\r\n")
        return int(client.recv(100).split()[1])


@contextmanager
def door_house(policy: str | None = None) -> Iterator[DoorHouse]:
    """Lay all of it out; nothing runs yet but the ports."""
    with ExitStack() as stack:
        net = stack.enter_context(network())
        house = stack.enter_context(KeeperHouse(**({"policy": policy} if policy else {})))
        doors = Doors(net.server, house.root)
        stack.callback(doors.close_all)
        yield DoorHouse(net, doors, house)


__all__ = ["DOORS", "LEGACY", "LEGACY_RSA", "STRICT", "DoorHouse", "door_house", "made", "why_not"]
