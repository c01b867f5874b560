"""The gateway flooded with what is no handshake: it costs no more than honest sessions, and memory stays what it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from ssl import TLSVersion

import pytest

from mailtls.edge.nss import capability
from mailtls.edge.randomhello import random_hello

from .conversation import HandshakeFailed
from .handshakes import openssl
from .instance import why_not
from .test_gateway import House, house

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=why_not() or ""),
    pytest.mark.skipif(capability() is not None, reason=capability() or ""),
]

MANY = 60
SPARE_KB = 8_000
"""What the memory of a process may grow by for reasons of its own."""


def processor_ticks(made: House) -> int:
    words = Path(f"/proc/{made.process.pid}/stat").read_text().rpartition(") ")[2].split()
    return int(words[11]) + int(words[12])


def resident_kb(made: House) -> int:
    pages = int(Path(f"/proc/{made.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def cost(made: House, act: Callable[[House, int], None]) -> int:
    """Do it many times; say how much of the processor the gateway took."""
    before = processor_ticks(made)
    for number in range(MANY):
        act(made, number)
    return processor_ticks(made) - before


def honest(made: House, number: int) -> None:
    with made.call(f"127.0.9.{number % 200 + 1}") as client:
        client.secure(openssl(TLSVersion.TLSv1_2, "AES128-SHA"))
        client.quit()


def garbled(made: House, number: int) -> None:
    """Send a hello that any client might send, spoilt in one place, and random bytes behind it; leave."""
    chance = Random(number)
    hello = bytearray(random_hello(chance))
    hello[chance.randrange(len(hello))] = chance.randrange(256)
    with made.call(f"127.0.10.{number % 200 + 1}") as client, suppress(ConnectionError, HandshakeFailed):
        client.approach()
        client.send(bytes(hello) + chance.randbytes(chance.randrange(3000)))


def test_a_flood_of_garbage_costs_no_more_than_as_many_honest_sessions_and_no_memory() -> None:
    with house() as made:
        honest(made, 0)
        usual = cost(made, honest)
        cost(made, garbled)
        settled = resident_kb(made)
        flooded = cost(made, garbled) + cost(made, garbled)
        assert flooded / 2 <= usual
        assert resident_kb(made) < settled + SPARE_KB
        honest(made, 1)
