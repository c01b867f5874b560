"""Postfix's own words are what it wrote after a moment, where it tells of trouble."""

from __future__ import annotations

from pathlib import Path

from mailtls.edge.mailwords import FEW, MailWords

HEAD = "Nov 21 08:00:00 mx postfix/master[7]: "


def test_only_trouble_since_then_is_repeated(tmp_path: Path) -> None:
    log, other = tmp_path / "mail.log", tmp_path / "none.log"
    log.write_text(f"{HEAD}fatal: long ago\n")
    words = MailWords((log, other))
    with log.open("a") as file:
        file.write(f"{HEAD}reload -- version 3.7.11\n{HEAD}fatal: bind: in use\n{HEAD}fatal: bind: in use\n")
        file.write("Nov 21 08:00:00 mx postfix/relaxed/smtpd[8]: warning: odd\n")
        file.write("Nov 21 08:00:00 mx dovecot[8]: fatal: not ours\n")
    assert words.since() == ("fatal: bind: in use", "warning: odd")


def test_a_log_that_was_rotated_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text("x" * 1000)
    words = MailWords((log,))
    log.write_text("".join(f"{HEAD}warning: {number}\n" for number in range(9)))
    assert words.since() == tuple(f"warning: {number}" for number in range(9))[-FEW:]
