"""What the gateway counts: messages that Postfix took, and nothing else."""

from __future__ import annotations

import pytest

from mailtls.core.acceptedmail import LONGEST, AcceptedMail

TAKEN = b"250 2.0.0 Ok: queued as 4gXy2Z1abcz1Q\r\n"
SESSION = (
    b"250-mx.example.test\r\n250-SIZE 10240000\r\n250 SMTPUTF8\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data\r\n" + TAKEN
    + b"250 2.1.0 Ok\r\n554 5.7.1 <a@queued as b>: refused, queued as nothing\r\n354 End data\r\n"
    + b"250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4gXy301\r\n221 2.0.0 Bye\r\n"
)  # fmt: skip


def counted(pieces: list[bytes]) -> int:
    mail = AcceptedMail()
    for piece in pieces:
        mail.feed(piece)
    return mail.count


@pytest.mark.parametrize("size", [4096, 128, 16, 1])
def test_messages_are_counted_in_pieces_of_every_size(size: int) -> None:
    assert counted([SESSION[at : at + size] for at in range(0, len(SESSION), size)]) == 2


def test_a_line_without_end_is_not_kept() -> None:
    mail = AcceptedMail()
    for _ in range(1000):
        mail.feed(b"250 " + b"x" * 1000)
    assert len(mail._begun) <= LONGEST
    assert counted([b"250 " + b"x" * 10_000, b"\r\n", TAKEN]) == 1
