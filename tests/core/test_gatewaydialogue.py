"""Before TLS: client and Postfix take turns, and nothing that comes too early is handed on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.gatewaydialogue import (
    HARMLESS,
    LONGEST_LINE,
    LONGEST_REPLY,
    MOST_REFUSED,
    NOT_READY,
    READY,
    TLS_FIRST,
    TOO_EARLY,
    TOO_LONG,
    TOO_MANY,
    UNAVAILABLE,
    Action,
    GatewayDialogue,
    ToClient,
    ToPostfix,
    Turn,
    offered,
)

BANNER = b"220 mx.example.test ESMTP Postfix\r\n"
EHLO = (
    b"250-mx.example.test\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-AUTH PLAIN LOGIN\r\n250-AUTH=PLAIN LOGIN\r\n"
    b"250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 CHUNKING\r\n"
)


def greeted(*, demand_tls: bool = False) -> GatewayDialogue:
    dialogue = GatewayDialogue(demand_tls)
    assert dialogue.from_postfix(BANNER) == (ToClient(BANNER),)
    return dialogue


def test_postfix_greets_first() -> None:
    dialogue = GatewayDialogue()
    assert not dialogue.wants_client
    dialogue.from_postfix(BANNER[:10])
    assert not dialogue.wants_client
    assert dialogue.from_postfix(BANNER[10:]) == (ToClient(BANNER),)
    assert dialogue.wants_client


def test_starttls_is_offered_and_what_must_wait_for_tls_is_not() -> None:
    dialogue = greeted()
    assert dialogue.from_client(b"EHLO old.example\r\n") == (ToPostfix(b"EHLO old.example\r\n"),)
    assert not dialogue.wants_client
    reply = b"250-mx.example.test\r\n250-SIZE 10240000\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 STARTTLS\r\n"
    assert dialogue.from_postfix(EHLO) == (ToClient(reply),)


@pytest.mark.parametrize("reply", [b"421 4.3.0 local data error\r\n", b"500 5.5.2 Error\r\n"])
def test_a_refusal_of_ehlo_is_handed_on_as_it_is(reply: bytes) -> None:
    assert offered(reply) == reply


@pytest.mark.parametrize(("said", "whole"), [(b"220 ", False), (b"250-a\r\n", False), (b"250-a\r\n250 b\r\n", True)])
def test_a_reply_is_waited_for_until_its_last_line(said: bytes, whole: bool) -> None:
    dialogue = greeted()
    dialogue.from_client(b"NOOP\r\n")
    assert bool(dialogue.from_postfix(said)) is whole


def test_starttls_is_answered_by_the_gateway_itself() -> None:
    dialogue = greeted()
    assert dialogue.from_client(b"StartTLS\r\n") == (ToClient(READY), Turn.START_TLS)


@pytest.mark.parametrize("rest", [b"MAIL FROM:<a@b.test>\r\n", b"x", b"\r\n", b"EHLO x\r\nSTARTTLS\r\n"])
def test_what_stands_behind_starttls_ends_the_session(rest: bytes) -> None:
    dialogue = greeted()
    assert dialogue.from_client(b"STARTTLS\r\n" + rest) == (ToClient(TOO_EARLY), Turn.END)


def test_starttls_takes_no_words() -> None:
    dialogue = greeted()
    assert dialogue.from_client(b"STARTTLS now\r\n") == (ToClient(NOT_READY),)
    assert dialogue.wants_client


@pytest.mark.parametrize("line", [b"MAIL FROM:<a@b.test>\r\n", b"AUTH PLAIN AAAA\r\n", b"XCLIENT ADDR=1.2.3.4\r\n", b"BDAT 1\r\n"])
def test_any_other_command_makes_the_session_a_plain_one(line: bytes) -> None:
    dialogue = greeted()
    assert dialogue.from_client(line + b"RCPT") == (ToPostfix(line + b"RCPT"), Turn.PLAIN)
    assert not dialogue.wants_client


def test_where_tls_is_demanded_nothing_is_taken_in_clear() -> None:
    dialogue = greeted(demand_tls=True)
    assert dialogue.from_client(b"MAIL FROM:<a@b.test>\r\n") == (ToClient(TLS_FIRST),)
    assert dialogue.from_client(b"STARTTLS\r\n")[-1] is Turn.START_TLS


def test_commands_sent_together_are_answered_in_their_turn() -> None:
    dialogue = greeted()
    assert dialogue.from_client(b"HELO a\r\nNOOP\r\nQUIT\r\n") == (ToPostfix(b"HELO a\r\n"),)
    assert dialogue.from_postfix(b"250 mx\r\n") == (ToClient(b"250 mx\r\n"), ToPostfix(b"NOOP\r\n"))
    assert dialogue.from_postfix(b"250 ok\r\n") == (ToClient(b"250 ok\r\n"), ToPostfix(b"QUIT\r\n"))
    assert dialogue.from_postfix(b"221 bye\r\n") == (ToClient(b"221 bye\r\n"), Turn.END)


def test_a_greeting_that_is_none_ends_the_session() -> None:
    assert GatewayDialogue().from_postfix(b"554 no\r\n") == (ToClient(b"554 no\r\n"), Turn.END)


def test_where_postfix_is_gone_the_client_is_told_to_come_back() -> None:
    assert GatewayDialogue().from_postfix(b"") == (ToClient(UNAVAILABLE), Turn.END)
    dialogue = greeted()
    dialogue.from_client(b"NOOP\r\n")
    assert dialogue.from_postfix(b"25") == ()
    assert dialogue.from_postfix(b"") == (ToClient(UNAVAILABLE), Turn.END)


def test_endless_lines_and_replies_end_the_session() -> None:
    dialogue = greeted()
    assert dialogue.from_client(b"N" * (LONGEST_LINE + 1)) == (ToClient(TOO_LONG), Turn.END)
    dialogue = greeted()
    dialogue.from_client(b"NOOP\r\n")
    assert dialogue.from_postfix(b"250-x\r\n" * LONGEST_REPLY) == (ToClient(UNAVAILABLE), Turn.END)


COMMANDS = st.lists(
    st.sampled_from(
        [b"EHLO x\r\n", b"NOOP\r\n", b"STARTTLS\r\n", b"MAIL FROM:<a@b>\r\n", b"RSET\n", b"\r\n", b"vrfy x\r\n", b"STARTTLS x\r\n"]
    )
    | st.binary(max_size=12),
    max_size=8,
)


def play(pieces: list[bytes], *, demand_tls: bool) -> list[Action]:
    """Let Postfix answer `250 ok` to every command that reaches it."""
    dialogue, actions = GatewayDialogue(demand_tls), []
    waiting = [*dialogue.from_postfix(BANNER)]
    for piece in pieces:
        if any(isinstance(each, Turn) for each in actions):
            break
        waiting += dialogue.from_client(piece)
        while waiting:
            action = waiting.pop(0)
            actions.append(action)
            if isinstance(action, ToPostfix) and Turn.PLAIN not in waiting:
                waiting += dialogue.from_postfix(b"250 ok\r\n")
    return actions


@given(COMMANDS, st.booleans(), st.integers(1, 7))
def test_however_bytes_arrive_no_transaction_reaches_postfix_before_tls_is_settled(
    commands: list[bytes], demand_tls: bool, size: int
) -> None:
    stream = b"".join(commands)
    actions = play([stream[at : at + size] for at in range(0, len(stream), size)], demand_tls=demand_tls)
    turns = [action for action in actions if isinstance(action, Turn)]
    assert len(turns) <= 1
    assert not turns or actions[-1] is turns[0], "nothing is done after the turn"
    for action in actions:
        if isinstance(action, ToPostfix) and action is not actions[-2:][0]:
            words = action.data.split(None, 1)
            assert not words or words[0].upper() in HARMLESS
    assert Turn.PLAIN not in turns or not demand_tls


def test_whoever_goes_on_with_what_is_refused_is_sent_away() -> None:
    """Postfix never hears of those commands, and so cannot count them."""
    for command, refusal in ((b"MAIL FROM:<a@b>\r\n", TLS_FIRST), (b"STARTTLS now\r\n", NOT_READY)):
        dialogue = GatewayDialogue(demand_tls=True)
        dialogue.from_postfix(b"220 mx\r\n")
        said = [dialogue.from_client(command) for _ in range(MOST_REFUSED + 1)]
        assert said[:-1] == [(ToClient(refusal),)] * MOST_REFUSED
        assert said[-1] == (ToClient(TOO_MANY), Turn.END)
        assert dialogue.from_client(command) == ()
