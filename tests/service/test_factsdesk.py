"""What Postfix itself tells of messages: counted once, proven, told, and filled into the log's sessions."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailtls.core.arrival import Arrival
from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.peer import Peer
from mailtls.core.proof import Proofs
from mailtls.core.session import Session
from mailtls.core.smtpfacts import LONGEST_ADDRESS, SmtpFacts, Stage
from mailtls.core.tlsversion import TLS13
from mailtls.core.verdict import DUNNO, Answer, Ground, Proof, Snapshot, Verdict
from mailtls.service.announcer import Announcer
from mailtls.service.factsdesk import OF_ONE_PEER, RECENT, SESSION_LASTS, TOLD_AGAIN, WAITING, FactsDesk
from mailtls.service.memory import Memory
from mailtls.service.messagemetrics import MessageMetrics

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FACTS = SmtpFacts(
    protocol_state=Stage.DATA,
    client_address="192.0.2.7",
    client_name="mx.example.com",
    client_port="4000",
    server_port="25",
    queue_id="4Xy1",
    encryption_protocol="TLSv1.3",
    encryption_cipher="TLS_AES_256_GCM_SHA384",
    encryption_keysize=256,
)
PLAIN = replace(FACTS, encryption_protocol="", encryption_cipher="", encryption_keysize=0)
NOTED = Verdict(Answer.NOTE, Ground.DOWNGRADE, "x", "mx.example.com[192.0.2.7]: downgrade")
ENDED = Session(
    NOW, Peer("192.0.2.7", "mx.example.com"), Service.SMTPD, Door.STRICT, Outcome.TLS_OK, Cause.NONE, delivered=True
)


class World:
    """A desk with its clock, what the store would get, and how often something new was proven."""

    def __init__(self, needed: int = 3) -> None:
        async def no_store() -> Any:
            raise AssertionError

        self.now = NOW
        self.memory = Memory(no_store, no_store)
        self.metrics = MessageMetrics()
        self.proofs = Proofs(needed)
        self.news = 0
        self.desk = FactsDesk(
            self.memory, self.metrics, Announcer(lambda: self.now), lambda: self.now,
            lambda: Snapshot(ports={"10225": Door.LEGACY}), self.proofs, self._changed,
        )  # fmt: skip

    def _changed(self) -> None:
        self.news += 1

    @property
    def arrivals(self) -> list[Arrival]:
        self.desk.settle()
        return self.memory._change.arrivals

    def messages(self, door: str = "strict", version: str = "TLSv1.3") -> float:
        self.desk.settle()
        return self.metrics._messages[door, version]


def test_a_message_counts_once_whoever_tells_of_it() -> None:
    world = World()
    world.desk.take(FACTS, DUNNO)
    world.desk.take(replace(FACTS, instance="milter knows none"), DUNNO)
    world.desk.take(replace(FACTS, queue_id="4Xy2"), DUNNO)
    assert [arrival.counted for arrival in world.arrivals] == [True, True]
    assert world.messages() == 2


def test_before_a_content_filter_the_instance_is_what_names_a_message() -> None:
    world = World()
    for instance in ("a.1", "a.1", "a.2"):
        world.desk.take(replace(FACTS, queue_id="", instance=instance), DUNNO)
    assert world.messages() == 2
    for _ in range(2):
        world.desk.take(replace(FACTS, queue_id="", client_port=""), DUNNO)
    assert world.messages() == 4, "what nothing names cannot be told apart"


@pytest.mark.parametrize("order", ["pm", "mp", "ppmm", "mmpp", "pmmp", "pmpm"])
def test_a_message_without_a_queue_id_counts_once_where_both_tell_of_it(order: str) -> None:
    """Before a content filter (smtpd_proxy_filter): the policy service knows an instance, the milter nothing."""
    world, told = World(), 0
    for interface in order:
        told += interface == "p"
        world.desk.take(replace(FACTS, queue_id="", instance=f"a.{told}" if interface == "p" else ""), DUNNO)
    assert world.messages() == len(order) // 2


def test_messages_without_a_queue_id_of_other_sessions_are_others() -> None:
    world = World()
    world.desk.take(replace(FACTS, queue_id="", instance="a.1"), DUNNO)
    world.desk.take(replace(FACTS, queue_id="", client_port="4001"), DUNNO)
    world.desk.take(replace(FACTS, queue_id="", client_port=""), DUNNO)
    assert world.messages() == 3


def test_what_names_a_message_takes_a_bounded_place() -> None:
    world = World()
    world.desk.take(replace(FACTS, queue_id="x" * 100_000, instance="y" * 100_000), DUNNO)
    world.desk.take(replace(FACTS, queue_id="", instance="y" * 100_000, client_port="9" * 100_000), DUNNO)
    world.desk.settle()
    kept = [*world.desk._messages, *world.desk._unnamed]
    assert len(kept) == 2
    assert all(len(part) <= LONGEST_ADDRESS for key in kept for part in key)


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.DATA])
def test_other_moments_of_a_session_are_no_messages(stage: Stage) -> None:
    world = World()
    world.desk.take(replace(FACTS, protocol_state=stage), DUNNO)
    assert world.arrivals == []


def test_users_that_have_logged_in_are_no_peers() -> None:
    world = World()
    world.desk.take(replace(FACTS, sasl_method="PLAIN", sasl_username="somebody"), DUNNO)
    assert world.arrivals == []


def test_a_message_is_of_the_door_that_it_came_through() -> None:
    world = World()
    world.desk.take(replace(FACTS, server_port="10225", encryption_protocol="TLSv1"), DUNNO)
    world.desk.take(replace(PLAIN, queue_id="b", policy_context="mailtls-sslv3"), DUNNO)
    assert [arrival.kind.door for arrival in world.arrivals] == ["legacy", "sslv3"]
    assert world.proofs.standing("192.0.2.7").sessions == 0, "what a door lets through proves nothing"


def test_sessions_at_the_strict_door_prove_what_a_peer_can_do() -> None:
    world = World(needed=2)
    for number in range(3):
        world.desk.take(replace(FACTS, queue_id=f"q{number}", client_port=str(4000 + number)), DUNNO)
    assert [arrival.standing.sessions for arrival in world.arrivals] == [1, 2, 3]
    assert world.proofs.proven(NOW) == {"192.0.2.7": Proof(3, TLS13)}
    assert world.news == 1
    world.desk.take(replace(FACTS, queue_id="new", encryption_protocol="TLSv1.9"), DUNNO)
    world.desk.settle()
    assert world.proofs.standing("192.0.2.7").sessions == 3, "a version that nobody knows says nothing"


def test_a_verdict_is_told_once_in_a_while_and_always_counted(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    with caplog.at_level(logging.INFO, "mailtls.facts"):
        for number in range(3):
            world.desk.take(replace(PLAIN, queue_id=f"q{number}"), NOTED)
        world.desk.settle()
        world.now += TOLD_AGAIN
        world.desk.take(replace(PLAIN, queue_id="later"), NOTED)
        world.desk.settle()
    assert [record.getMessage() for record in caplog.records] == [NOTED.reason] * 2
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert world.metrics._verdicts["downgrade", "note"] == 4
    assert {arrival.alarm for arrival in world.arrivals} == {NOTED.reason}


def test_what_is_refused_at_the_end_of_a_message_is_an_alarm_and_no_message() -> None:
    world = World()
    world.desk.take(FACTS, DUNNO)
    late = Verdict(Answer.DEFER, Ground.TOO_LARGE, "x", "too large")
    world.desk.take(replace(FACTS, protocol_state=Stage.END_OF_MESSAGE), late)
    assert [(arrival.counted, arrival.alarm) for arrival in world.arrivals] == [(True, None), (False, "too large")]
    assert world.messages() == 1


# --- sessions of the log ---------------------------------------------------------------------------------------------


def test_a_session_of_the_log_gets_what_its_messages_told() -> None:
    world = World()
    world.desk.take(FACTS, DUNNO)
    session = world.desk.complete(ENDED)
    assert (session.tls_version, session.cipher) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    assert world.desk.complete(ENDED) == ENDED, "one session is one session"


def test_what_the_log_says_itself_stays_and_uses_the_message_up() -> None:
    world = World()
    world.desk.take(FACTS, DUNNO)
    said = replace(ENDED, tls_version="TLSv1.2", cipher="X")
    assert world.desk.complete(said) == said
    assert world.desk.complete(ENDED) == ENDED


@pytest.mark.parametrize(
    "other",
    [
        replace(ENDED, peer=Peer("192.0.2.8")),
        replace(ENDED, peer=None),
        replace(ENDED, door=Door.LEGACY),
        replace(ENDED, outcome=Outcome.NO_STARTTLS),
        replace(ENDED, outcome=Outcome.TLS_FAILED),
        replace(ENDED, at=NOW - 2 * SESSION_LASTS),
        replace(ENDED, port=4001),
    ],
)
def test_other_sessions_get_nothing(other: Session) -> None:
    world = World()
    world.desk.take(FACTS, DUNNO)
    assert world.desk.complete(other) == other
    assert world.desk.complete(ENDED) != ENDED


def test_with_ports_each_session_gets_its_own() -> None:
    world = World()
    world.desk.take(FACTS, DUNNO)
    world.desk.take(replace(FACTS, client_port="4001", queue_id="b", encryption_protocol="TLSv1.2"), DUNNO)
    assert world.desk.complete(replace(ENDED, port=4001)).tls_version == "TLSv1.2"
    assert world.desk.complete(replace(ENDED, port=4000)).tls_version == "TLSv1.3"


def test_several_messages_of_a_session_are_one() -> None:
    world = World()
    for number in range(3):
        world.desk.take(replace(FACTS, queue_id=f"q{number}"), DUNNO)
    assert world.desk.complete(ENDED) != ENDED
    assert world.desk.complete(ENDED) == ENDED


def test_what_the_log_never_ends_is_forgotten() -> None:
    world = World()
    world.desk.take(FACTS, DUNNO)
    world.desk.settle()
    world.now += SESSION_LASTS + timedelta(seconds=1)
    assert world.desk.complete(replace(ENDED, at=None)) == replace(ENDED, at=None)


def test_a_flood_fills_nothing_beyond_its_bounds() -> None:
    world = World()
    for number in range(OF_ONE_PEER * 3):
        world.desk.take(replace(FACTS, queue_id=f"q{number}", client_port=str(number + 1)), DUNNO)
    world.desk.settle()
    assert len(world.desk._sessions["192.0.2.7"]) == OF_ONE_PEER
    for number in range(RECENT + 10):
        ip = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        world.desk.take(replace(PLAIN, client_address=ip, queue_id=f"q{number}"), NOTED)
        world.desk.settle()
    rooms = (world.desk._messages, world.desk._sessions, world.desk._told)
    assert max(map(len, rooms)) <= RECENT


def test_what_comes_faster_than_it_is_taken_in_is_dropped_and_counted() -> None:
    world = World()
    for number in range(WAITING + 7):
        world.desk.take(replace(FACTS, queue_id=f"q{number}"), DUNNO)
    assert world.metrics.dropped == 7
    assert world.messages() == WAITING


UNREAD = (
    b"request=smtpd_access_policy\nprotocol_state=DATA\nclient_address=192.0.2.7\nclient_name=mx.example.com\n"
    b"client_port=4000\nserver_port=25\nqueue_id=4Xy1\nencryption_protocol=TLSv1.3\n"
    b"encryption_cipher=TLS_AES_256_GCM_SHA384\nencryption_keysize=256\n\n"
)


def test_a_question_that_comes_unread_is_read_when_its_turn_comes() -> None:
    read, unread = World(), World()
    read.desk.take(FACTS, DUNNO)
    unread.desk.take_unread(UNREAD)
    unread.desk.take(FACTS, DUNNO)
    assert unread.arrivals == read.arrivals
    assert unread.messages() == 1, "the milter told of it, too"
    assert unread.desk.complete(ENDED).tls_version == "TLSv1.3"


def test_what_comes_unread_is_bounded_like_the_rest_and_nonsense_is_forgotten() -> None:
    world = World()
    for number in range(WAITING):
        world.desk.take_unread(b"nonsense\n\n" if number else UNREAD)
    world.desk.take_unread(UNREAD)
    world.desk.take(FACTS, DUNNO)
    assert world.metrics.dropped == 2
    assert len(world.arrivals) == 1


def test_what_still_waits_is_taken_in_when_it_ends() -> None:
    async def work(world: World) -> None:
        task = asyncio.create_task(world.desk.run())
        world.desk.take(FACTS, DUNNO)
        while not world.memory._change.arrivals:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
        world.desk.take(replace(FACTS, queue_id="last"), DUNNO)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    world = World()
    asyncio.run(asyncio.wait_for(work(world), 30))
    assert len(world.memory._change.arrivals) == 2
