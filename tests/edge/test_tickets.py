"""Each piece of work is taken once, by whichever process comes first."""

from __future__ import annotations

import os

import pytest

from mailtls.edge.tickets import Tickets


@pytest.mark.parametrize("pieces", [0, 1, 7, 256, 10_000])
def test_all_pieces_are_shared_out_in_order(pieces: int) -> None:
    tickets = Tickets(pieces)
    assert [number for ticket in tickets for number in tickets.share(ticket, pieces)] == list(range(pieces))
    tickets.close()


def test_two_processes_take_every_ticket_once() -> None:
    tickets = Tickets(200)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, bytes(tickets))
        os._exit(0)
    mine = list(tickets)
    os.waitpid(child, 0)
    os.close(write)
    theirs = list(os.read(read, 300))
    os.close(read)
    assert sorted(mine + theirs) == list(range(200))
    assert mine == sorted(mine)
    tickets.close()
