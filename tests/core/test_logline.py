"""The head of a line, in every form that mail logs were seen with; and what a stranger may not make of it."""

from __future__ import annotations

import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.logline import LONGEST, LONGEST_JSON, LogLine, split, split_unusual

MESSAGE = "SSL_accept error from mx.example.net[192.0.2.1]: -1"
TAG = "postfix/smtpd"

BSD = "Nov 21 00:42:35"
ISO = "2024-11-21T00:42:35.123456+01:00"
NANO = "2024-11-21T00:42:35.123456789Z"
EPOCH = "1700000000123456"

# what stands in front of `postfix/smtpd[100]: MESSAGE`; the stamp and the host that must come out
HEADS = {
    "BSD": (f"{BSD} mail ", BSD, "mail"),
    "BSD, one digit": ("Nov  1 00:42:35 mail ", "Nov  1 00:42:35", "mail"),
    "BSD, zero": ("Nov 01 00:42:35 mail ", "Nov 01 00:42:35", "mail"),
    "BSD with a year": ("Nov 21 2023 00:42:35 mail ", "Nov 21 2023 00:42:35", "mail"),
    "BSD with fractions": ("Nov 21 00:42:35.123456 mail ", "Nov 21 00:42:35.123456", "mail"),
    "BSD, year behind": (f"{BSD} 2023 mail ", f"{BSD} 2023", "mail"),
    "BSD, host of digits": (f"{BSD} 1234-mx ", BSD, "1234-mx"),
    "BSD, weekday": (f"Thu {BSD} mail ", f"Thu {BSD}", "mail"),
    "BSD, no host (maillog_file on /dev/stdout)": (f"{BSD} ", BSD, ""),
    "priority": (f"<22>{BSD} mail ", BSD, "mail"),
    "full host name": (f"{BSD} mail.example.org ", BSD, "mail.example.org"),
    "host is an IPv4 address": (f"{BSD} 192.0.2.9 ", BSD, "192.0.2.9"),
    "host is an IPv6 address": (f"{BSD} 2001:db8::9 ", BSD, "2001:db8::9"),
    "host is the word postfix": (f"{BSD} postfix ", BSD, "postfix"),
    "BusyBox: facility.severity": (f"{BSD} mail mail.info ", BSD, "mail"),
    "RFC 3339": (f"{ISO} mail ", ISO, "mail"),
    "RFC 3339, Z": ("2024-11-21T00:42:35Z mail ", "2024-11-21T00:42:35Z", "mail"),
    "RFC 3339 with a severity for a host": (f"{ISO} INFO    ", ISO, ""),
    "journald short-iso": ("2024-11-21T00:42:35+0100 mail ", "2024-11-21T00:42:35+0100", "mail"),
    "journald short-full": ("Thu 2024-11-21 00:42:35 UTC mail ", "Thu 2024-11-21 00:42:35 UTC", "mail"),
    "journald short-full, CET": ("Thu 2024-11-21 00:42:35 CET mail ", "Thu 2024-11-21 00:42:35 CET", "mail"),
    "journald short-full, +07": ("Thu 2024-11-21 00:42:35 +07 mail ", "Thu 2024-11-21 00:42:35 +07", "mail"),
    "journald short-unix": ("1700000000.123456 mail ", "1700000000.123456", "mail"),
    "journald short-precise": (f"{BSD}.123456 mail ", f"{BSD}.123456", "mail"),
    "blank instead of T": ("2024-11-21 00:42:35,123 mail ", "2024-11-21 00:42:35,123", "mail"),
    "bracketed stamp": ("[2024-11-21 00:42:35] mail ", "2024-11-21 00:42:35", "mail"),
    "docker-compose": (f"mail-server    | {BSD} mail ", BSD, "mail"),
    "docker-compose, underscore": (f"postfix-mailcow_1    | {BSD} 5afdcb3d2b2f ", BSD, "5afdcb3d2b2f"),
    "docker-compose, swarm": (f"mail_postfix.1.abcdefghij@node1    | {BSD} mail ", BSD, "mail"),
    "docker-compose -t": (f"mail | {NANO} {BSD} mail ", BSD, "mail"),
    "docker-compose, no stamp": ("postfix  | ", "", ""),
    "docker logs -t": (f"{NANO} {ISO} mail ", ISO, "mail"),
    "Kubernetes": (f"{NANO} stdout F {BSD} mail ", BSD, "mail"),
    "Kubernetes, partial, stderr": (f"{NANO} stderr P {ISO} mail ", ISO, "mail"),
    "Kubernetes, no inner stamp": (f"{NANO} stdout F ", NANO, ""),
    "kubectl --prefix": (f"[pod/mail-0/postfix] {BSD} mail ", BSD, "mail"),
    "kubectl --prefix --timestamps": (f"[pod/mail-0/postfix] {NANO} {BSD} mail ", BSD, "mail"),
    "a host that the poster took out": (f"{BSD} [servername] ", BSD, "[servername]"),
    "no stamp, no host": ("", "", ""),
    "no stamp": ("mail ", "", "mail"),
    "blanks in front": (f"    {BSD} mail ", BSD, "mail"),
    "byte order mark": (f"\ufeff{BSD} mail ", BSD, "mail"),
    "grep, several files": (f"/var/log/mail.log:{BSD} mail ", BSD, "mail"),
    "grep -n, several files": (f"mail.log.1:17:{BSD} mail ", BSD, "mail"),
    "grep -n": (f"17:{BSD} mail ", BSD, "mail"),
    "grep, RFC 3339": (f"mail.log:{ISO} mail ", ISO, "mail"),
    "zgrep": (f"/var/log/mail.log.2.gz:{BSD} mail ", BSD, "mail"),
    "cat -n": (f"     17\t{BSD} mail ", BSD, "mail"),
    "numbered list": (f"1. {BSD} mail ", BSD, "mail"),
    "doubled": (f"{BSD} relay Nov 21 00:42:36 mail ", "Nov 21 00:42:36", "mail"),
    "doubled, RFC 3339": (f"2024-11-21T00:42:34+01:00 relay {ISO} mail ", ISO, "mail"),
}  # fmt: skip

TAGS = (
    "postfix/smtpd",
    "postfix/submission/smtpd",
    "postfix/smtpd/badstarttls/smtpd",
    "postfix-out/smtps/smtpd",
    "smtpd",
)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("tag", TAGS)
def test_every_header_form_gives_stamp_source_tag_and_message(head: str, tag: str) -> None:
    before, stamp, host = HEADS[head]
    line = split(f"{before}{tag}[100]: {MESSAGE}".encode())
    assert line == LogLine(stamp.encode(), f"{host} {tag}[100]".encode(), tag.encode(), MESSAGE.encode())


@pytest.mark.parametrize("head", HEADS)
def test_a_program_may_have_no_pid(head: str) -> None:
    before, stamp, host = HEADS[head]
    line = split(f"{before}{TAG}: {MESSAGE}".encode())
    assert line == LogLine(stamp.encode(), f"{host} {TAG}[]".encode(), TAG.encode(), MESSAGE.encode())


RFC5424 = {
    "plain": "- ",
    "with structured data": '[timeQuality tzKnown="1" isSynced="1"] ',
    "with two elements": '[a b="c"][d e="f"] ',
    "with a byte order mark": "- \ufeff",
}


@pytest.mark.parametrize(("form", "priority"), list(product(RFC5424, ("<22>1 ", ""))))
def test_rfc_5424_has_its_fields_elsewhere(form: str, priority: str) -> None:
    line = split(f"{priority}{ISO} mail.example.org {TAG} 100 - {RFC5424[form]}{MESSAGE}".encode())
    assert line == LogLine(ISO.encode(), b"mail.example.org postfix/smtpd[100]", TAG.encode(), MESSAGE.encode())


JOURNAL = {"SYSLOG_IDENTIFIER": TAG, "_HOSTNAME": "mail", "__REALTIME_TIMESTAMP": EPOCH, "MESSAGE": MESSAGE}


@pytest.mark.parametrize(
    "entry",
    [
        {**JOURNAL, "SYSLOG_PID": "100"},
        {**JOURNAL, "_PID": "100"},
        {**JOURNAL, "_PID": "1", "SYSLOG_PID": "100"},
        {**JOURNAL, "_PID": "100", "MESSAGE": list(MESSAGE.encode())},
        {**JOURNAL, "_PID": "100", "__REALTIME_TIMESTAMP": "1", "_SOURCE_REALTIME_TIMESTAMP": EPOCH},
    ],
)
def test_an_entry_of_the_journal_as_json(entry: dict[str, object]) -> None:
    assert split(json.dumps(entry).encode()) == LogLine(
        EPOCH.encode(), b"mail postfix/smtpd[100]", TAG.encode(), MESSAGE.encode()
    )


def test_docker_wraps_another_header_in_json() -> None:
    entry = {"log": f"{BSD} mail {TAG}[100]: {MESSAGE}\n", "stream": "stdout", "time": NANO}
    assert split(json.dumps(entry).encode()) == split(f"{BSD} mail {TAG}[100]: {MESSAGE}".encode())


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"{}",
        b"[1]",
        b"null",
        b'{"MESSAGE": null}',
        b'{"MESSAGE": 3}',
        b'{"MESSAGE": [1, 300]}',
        b'{"MESSAGE": [-1]}',
        b'{"MESSAGE": ["a"]}',
        b'{"log": 3}',
        b"{" * 100_000,
        b'{"MESSAGE": "' + b"x" * LONGEST_JSON + b'"}',
        b'{"a": \xff}',
    ],
    ids=lambda line: line[:20].decode("ascii", "replace"),
)
def test_json_that_is_no_entry_is_no_line(line: bytes) -> None:
    assert split(line) is None


def test_fields_of_the_journal_that_are_no_text_are_left_empty() -> None:
    line = split(json.dumps({"MESSAGE": "x", "_PID": [1], "_HOSTNAME": None, "SYSLOG_IDENTIFIER": {"a": 1}}).encode())
    assert line == LogLine(b"", b" []", b"", b"x")


def test_the_table_of_a_web_interface_names_no_program() -> None:
    line = split("28/06/2018 à 16:32:52\twarning\twarning: TLS library problem: x".encode())
    assert line == LogLine("28/06/2018 à 16:32:52".encode(), b"", b"", b"warning: TLS library problem: x")


def test_dovecot_in_brackets_is_a_tag() -> None:
    line = split(b"Apr 04 01:50:55 [dovecot] imap-login: Error: x")
    assert line == LogLine(b"Apr 04 01:50:55", b" dovecot[]", b"dovecot", b"imap-login: Error: x")


def test_two_stamps_grown_together_are_one_stamp() -> None:
    line = split(b"9.1.2017 17:04:202017-01-09 16:04:20 imap-login: Info: x")
    assert line == LogLine(b"2017-01-09 16:04:20", b" imap-login[]", b"imap-login", b"Info: x")


def test_solaris_puts_an_id_before_the_message() -> None:
    line = split(f"{BSD} mail {TAG}[100]: [ID 197553 mail.info] {MESSAGE}".encode())
    assert line is not None
    assert line.message == MESSAGE.encode()


@pytest.mark.parametrize(
    "levels", [("INFO    ", "WARNING "), ("mail mail.info ", "mail mail.warn "), ("mail mail.info ", "mail mail.err ")]
)
def test_the_severity_of_a_line_does_not_part_a_process(levels: tuple[str, str]) -> None:
    sources = {split(f"{ISO} {level}{TAG}[100]: {MESSAGE}".encode()).source for level in levels}  # type: ignore[union-attr]
    assert len(sources) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{BSD} a {TAG}[1]: x", f"{BSD} b {TAG}[1]: x"),
        (f"{BSD} a {TAG}[1]: x", f"{BSD} a {TAG}[2]: x"),
        (f"{BSD} a {TAG}[1]: x", f"{BSD} a postfix/smtps/smtpd[1]: x"),
        (f"{BSD} a {TAG}[1]: x", f"{BSD} a {TAG}[11]: x"),
    ],
)
def test_processes_of_different_host_service_or_pid_are_different_sources(one: str, other: str) -> None:
    first, second = split(one.encode()), split(other.encode())
    assert first is not None
    assert second is not None
    assert first.source != second.source


INJECTED = f"{TAG}[100]: {MESSAGE}"
HOSTILE = (
    f"{BSD} mail sshd[1]: Invalid user {INJECTED} from 203.0.113.9 port 22",
    f"{BSD} mail sshd[1]: {INJECTED}",
    f"{BSD} mail dovecot: imap-login: Aborted login: user=<{INJECTED}>, rip=203.0.113.9, lip=192.0.2.2",
    f"{BSD} mail nginx: 203.0.113.9 - - {BSD} mail {INJECTED}",
    f"{BSD} mail named[9]: client query: {BSD} mail {INJECTED}: denied",
    f"{BSD} mail kernel: x {INJECTED}",
    f"{BSD} mail sshd[1]: Invalid user x | {BSD} mail {INJECTED} from 203.0.113.9 port 22",
    f"{ISO} mail sshd[1]: Invalid user x | {ISO} mail {INJECTED} from 203.0.113.9 port 22",
    f"sshd[1]: Invalid user x | {INJECTED} from 203.0.113.9 port 22",
    f"sshd: Invalid user x | {BSD} mail {INJECTED} from 203.0.113.9 port 22",
    f"{BSD} mail sshd[1]: Invalid user x\t{BSD} mail {INJECTED}",
    f"{BSD} mail postfix/cleanup[7]: 4A: message-id=<{INJECTED}>",
    f"{BSD} mail postfix/cleanup[7]: 4A: warning: header Subject: {BSD} mail {INJECTED} from x",
    f"{ISO} mail dovecot: auth: Error: {ISO} mail {INJECTED}",
    f"{BSD} mail CRON[1]: (root) CMD (echo {INJECTED})",
    json.dumps({"SYSLOG_IDENTIFIER": "sshd", "MESSAGE": f"{BSD} mail {INJECTED}"}),
    json.dumps({"SYSLOG_IDENTIFIER": "sshd", "MESSAGE": INJECTED}),
    json.dumps({"log": f"{BSD} mail sshd[1]: {INJECTED}"}),
)


@pytest.mark.parametrize("line", HOSTILE)
def test_what_another_daemon_was_made_to_say_is_not_a_header(line: str) -> None:
    head = split(line.encode())
    assert head is None or b"smtpd" not in head.tag


def test_text_without_any_header_is_no_line() -> None:
    for line in (
        b"",
        b" ",
        b"\n",
        b"hello",
        b"hello world: x",
        b"Subject: postfix",
        b"GET / HTTP/1.1",
        b"%PDF-1.7",
        b"\x00" * 40,
    ):
        assert split(line) is None


def test_a_long_line_is_cut() -> None:
    line = split(f"{BSD} mail {TAG}[100]: ".encode() + b"x" * (2 * LONGEST))
    assert line is not None
    assert len(line.message) < LONGEST


@given(
    head=st.sampled_from(sorted(HEADS)),
    message=st.binary(max_size=200)
    .filter(lambda text: not text.startswith(b"[ID "))
    .map(lambda text: text.replace(b"\n", b"")),
)
def test_the_message_comes_back_byte_by_byte(head: str, message: bytes) -> None:
    before, _, _ = HEADS[head]
    line = split(f"{before}{TAG}[100]: ".encode() + message)
    assert line is not None
    assert line.tag == TAG.encode()
    assert line.message == message


@given(st.binary(max_size=400))
def test_no_line_whatever_raises(line: bytes) -> None:
    split(line)
    split(b"Nov 21 00:42:35 " + line)
    split(b'{"MESSAGE": ' + line)


def test_a_line_that_repeats_its_head_costs_no_recursion() -> None:
    split(f"{BSD} ".encode() + b"stdout F " * 1_800)
    split(b'{"log": "' + b'{\\"log\\": ' * 1_500 + b'"}')


@given(
    st.sampled_from([BSD, ISO, NANO, "Nov  1 00:42:35", "2024-11-21T00:42:35+01:00", "2024-11-21T00:42:35"]),
    st.lists(
        st.sampled_from(
            [" ", "mx", "mx1.example", "INFO", "Nov", "Mon", "17", "1700000000.5", BSD, ISO, "postfix/smtpd[17]:", "smtpd",
             "[17]", ":", "[ID 1 mail.info] ", "mail.info ", "stdout F ", "|", "a:b", "x", "\t", "\x1b", "[", "]"]
        ),
        max_size=8,
    ),
)  # fmt: skip
def test_the_usual_form_is_read_as_the_other_patterns_read_it(stamp: str, pieces: list[str]) -> None:
    line = (stamp + " " + "".join(pieces)).encode()
    assert split(line) == split_unusual(line)


@pytest.mark.parametrize("stamp", [BSD, ISO])
@pytest.mark.parametrize("host", ["mx", "mx-1.example.org", "INFO", "1mx", "mx:", "Nov", "x_y"])
@pytest.mark.parametrize("tag", ["postfix/smtpd[17]: ", "postfix/smtpd[17]:", "dovecot: ", "smtpd[x]: ", "a/b/c[1]: "])
def test_the_usual_form_is_read_so_with_every_host_and_tag(stamp: str, host: str, tag: str) -> None:
    for text in ("connect from a[192.0.2.1]", "", "[ID 7 mail.info] connect", " x"):
        line = f"{stamp} {host} {tag}{text}".encode()
        assert split(line) == split_unusual(line)
