"""The milter's shell: facts go out with the verdict, loss is counted, and a new snapshot counts from the next message."""

from __future__ import annotations

from mailtls.core.factsparcel import FactsParcel, unpack_facts
from mailtls.core.peermap import PeerMap
from mailtls.core.verdict import Answer, Guard, Requirement, Snapshot
from mailtls.errors import UnreachableError
from mailtls.service.milter import SAID_EVERY_S, FactsTeller, Milter

MACROS = {"{client_addr}": "192.0.2.1", "i": "4F2"}


class House:
    """A milter, a mailtlsd that takes facts or is gone, and a clock that is turned by hand."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.taken: list[FactsParcel] = []
        self.said: list[str] = []
        self.gone = False
        self.now = 0.0
        self.teller = FactsTeller(self._take, self.said.append, lambda: self.now)
        self.milter = Milter(lambda: self.snapshot, self.teller)

    def _take(self, data: bytes) -> None:
        if self.gone:
            raise UnreachableError("facts.sock: connection refused")
        parcel = unpack_facts(data)
        assert isinstance(parcel, FactsParcel)
        self.taken.append(parcel)

    def deliver(self, times: int = 1) -> list[object]:
        connection = self.milter.begin()
        replies: list[object] = []
        for _ in range(times):
            connection.sender([b"<a@peer.example>"])
            replies.append(connection.data(MACROS.get))
            connection.end()
        return replies


def test_each_message_is_told_once_with_its_verdict() -> None:
    house = House()
    assert house.deliver(2) == [None, None]
    assert [parcel.facts.sender for parcel in house.taken] == ["a@peer.example"] * 2


def test_a_new_snapshot_counts_from_the_next_message_of_the_same_connection() -> None:
    house = House()
    connection = house.milter.begin()
    assert connection.data(MACROS.get) is None
    house.snapshot = Snapshot(required_of_peers=PeerMap({"192.0.2.1": Requirement()}))
    reply = connection.data(MACROS.get)
    assert reply is not None and reply[0] == "450"
    assert house.taken[1].verdict.answer is Answer.DEFER


def test_what_is_asked_for_follows_the_snapshot_from_the_next_connection_on() -> None:
    house = House()
    assert not house.milter.begin().wishes.headers
    house.snapshot = Snapshot(guard=Guard(Answer.STAMP))
    assert house.milter.begin().wishes.headers


def test_facts_that_nobody_takes_are_counted_and_said_once_a_minute() -> None:
    house = House()
    house.gone = True
    assert house.deliver(5) == [None] * 5
    assert len(house.said) == 1 and house.teller.lost == 5
    house.now += SAID_EVERY_S
    house.deliver()
    assert len(house.said) == 2 and "6 messages" in house.said[1]
    house.gone = False
    house.deliver()
    assert [parcel.lost for parcel in house.taken] == [6]
