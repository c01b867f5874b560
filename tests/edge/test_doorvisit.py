"""A visit to a door: what is well is nothing, what is wrong is a clause, and it ends in time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.postfix.netns import made, why_no_namespaces
from tests.service.doorhouse import Doors

from mailtls.core.level import Level
from mailtls.core.postfixview import Doorway, Offering
from mailtls.edge import doorvisit
from mailtls.edge.doorvisit import visit_door


def doorway(port: int, *versions: str, addresses: tuple[str, ...] = ()) -> Doorway:
    return Doorway(level=Level.LEGACY, port=port, addresses=addresses, offers=Offering(versions=versions))


@contextmanager
def saying(words: bytes) -> Iterator[int]:
    """Listen at a port where everybody is told this."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    held.append(client)
                    client.sendall(words)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        for client in held:
            client.close()


@pytest.mark.skipif(why_no_namespaces(nft=False) is not None, reason=why_no_namespaces(nft=False) or "")
def test_a_door_that_shakes_hands_as_low_as_it_offers_is_well(tmp_path: Path) -> None:
    with made("a mail server") as space, space:
        doors = Doors(space, tmp_path, (10225,))
        assert visit_door(doorway(10225, "TLSv1", "TLSv1.2")) is None
        assert visit_door(doorway(10225)) is None, "where nothing is known any version will do"
        doors._context.minimum_version = doorvisit.VERSIONS["TLSv1.2"]
        assert "the TLS handshake after STARTTLS fails" in (visit_door(doorway(10225, "TLSv1", "TLSv1.2")) or "")
        doors.close_all()
        assert visit_door(doorway(10225)) == "nobody listens there"


@pytest.mark.skipif(why_no_namespaces(nft=False) is not None, reason=why_no_namespaces(nft=False) or "")
def test_a_door_is_visited_at_its_own_address(tmp_path: Path) -> None:
    with made("a mail server") as space:
        space.ip("address add 192.0.2.9/32 dev lo")
        with space, socket.create_server(("192.0.2.9", 10225)) as listening:
            listening.settimeout(10)
            threading.Thread(target=lambda: listening.accept()[0].sendall(b"421 no\r\n"), daemon=True).start()
            assert "421 no" in (visit_door(doorway(10225, addresses=("192.0.2.9",))) or "")


def test_a_client_that_is_judged_at_once_proves_that_somebody_is_there() -> None:
    """With smtpd_delay_reject = no the second lock speaks first, to this machine as to anybody."""
    with saying(b"450 4.7.1 <localhost[127.0.0.1]>: Client host rejected: Try again later\r\n") as port:
        assert visit_door(doorway(port)) is None
    with saying(b"421 4.3.2 All server ports are busy\r\n") as port:
        assert "421 4.3.2" in (visit_door(doorway(port)) or "")


def test_a_door_that_is_stopped_or_endless_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorvisit, "WITHIN_S", 0.3)
    with saying(b"") as port:
        assert visit_door(doorway(port)) == "there is no greeting: it took longer than 0 s"
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()

        def drip() -> None:
            with suppress(OSError):
                client, _ = listening.accept()
                while not stop.wait(0.02):
                    client.sendall(b"220-x\r\n")

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert visit_door(doorway(listening.getsockname()[1])) is not None
        assert time.monotonic() - started < 10, "its whole time, not that of each answer"
        stop.set()
        dripping.join()
