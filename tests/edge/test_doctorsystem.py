"""What fail2ban and dpkg keep, as the doctor reads it: bans without an end that a calendar has, logs without an end."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailtls.edge.doctorsystem import BANS, LARGEST, PACKAGES, bans, jails, package_changes
from mailtls.errors import StoreError

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AT = int(NOW.timestamp())


def test_a_ban_that_ends_behind_the_last_year_of_the_calendar_has_no_end(tmp_path: Path) -> None:
    memory = tmp_path / BANS
    memory.parent.mkdir(parents=True)
    with closing(sqlite3.connect(memory)) as store:
        store.execute("create table bips (ip text, jail text, timeofban integer, bantime integer)")
        week = 7 * 86400
        lengths = [week, week << 20, 1 << 62, -1, None]  # bantime.increment doubles a ban up to twenty times
        store.executemany("insert into bips values ('192.0.2.7', 'postfix', ?, ?)", [(AT, each) for each in lengths])
        store.commit()
    ends = [ban.until for ban in bans(tmp_path, NOW)]
    assert ends == [datetime(2026, 11, 27, 12, tzinfo=UTC), None, None, None, None]


def test_the_latest_upgrade_is_found_in_a_long_log(tmp_path: Path) -> None:
    log = tmp_path / PACKAGES
    log.parent.mkdir(parents=True)
    line = "2026-11-01 10:00:00 status installed nano:amd64 7\n"
    last = "2026-11-20 09:59:30 upgrade libssl3:amd64 3.0.17-1 3.0.22-1\n"
    log.write_text(line * (2 * LARGEST // len(line)) + last)
    assert [change.what for change in package_changes(tmp_path)] == ["libssl3 was upgraded"]


@pytest.mark.parametrize("content", [b"", b"this is no database, whatever its name says" * 100])
def test_a_memory_that_is_no_database_is_no_empty_one(content: bytes, tmp_path: Path) -> None:
    memory = tmp_path / BANS
    assert bans(tmp_path, NOW) == ()
    memory.parent.mkdir(parents=True)
    assert bans(tmp_path, NOW) == ()
    memory.write_bytes(content)
    with pytest.raises(StoreError, match="it cannot be read"):
        bans(tmp_path, NOW)


def test_a_file_of_jails_that_does_not_parse_hides_none_of_the_others(tmp_path: Path) -> None:
    directory = tmp_path / "etc/fail2ban/jail.d"
    directory.mkdir(parents=True)
    (directory / "a.conf").write_text("no section here\n")
    (directory / "b.conf").write_text("[postfix]\nenabled = true\n")
    known = jails(tmp_path)
    assert [each.name for each in known.found] == ["postfix"]
    assert known.unread == ((str(directory / "a.conf"), "it does not parse (MissingSectionHeaderError)"),)
