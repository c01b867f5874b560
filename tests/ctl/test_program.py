"""`mailtlsctl` as installed: exit status, sentences instead of tracebacks, 80 columns, and good manners in a shell."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest

from ctl.program import CUT, MODERN, NO_CERTIFICATE, PROGRAM, TOO_OLD, environment, log_of, mailtlsctl

SENTENCE = re.compile(r"mailtlsctl: [^\n]+\n")
HELP = [[], ["report"], ["explain"], ["simulate"], ["status"], ["peers"], ["waivers"], ["history"], ["watch"],
        ["allow-legacy"], ["revoke"], ["probe"]]  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "mail.log"
    path.write_text(log_of(MODERN, TOO_OLD, CUT), "utf-8")
    return path


def widest(words: str) -> int:
    return max(map(len, words.splitlines()), default=0)


def test_a_log_full_of_failures_is_reported_with_exit_status_0(log: Path) -> None:
    seen = mailtlsctl("report", log)
    assert (seen.returncode, seen.stderr) == (0, "")
    assert "192.0.2.7  mx.example.com" in seen.stdout


def test_findings_are_exit_status_1_where_they_are_asked_for(log: Path, tmp_path: Path) -> None:
    assert mailtlsctl("report", "--fail-on-findings", log).returncode == 1
    assert mailtlsctl("report", "--fail-on-findings", "--format", "json", log).returncode == 1


@pytest.mark.parametrize(
    ("sessions", "status"),
    [((MODERN,), 0), ((CUT,), 0), ((MODERN, CUT), 0), ((NO_CERTIFICATE,), 1), ((TOO_OLD,), 1)],
)
def test_what_needs_nobody_is_no_finding(sessions: tuple[tuple[str, ...], ...], status: int) -> None:
    assert mailtlsctl("report", "--fail-on-findings", "-", stdin=log_of(*sessions)).returncode == status


def test_json_is_one_object_whatever_the_width_or_colour(log: Path) -> None:
    plain = mailtlsctl("report", "--format", "json", log)
    loud = mailtlsctl("report", "--format=json", log, COLUMNS="20", TERM="xterm-256color", FORCE_COLOR="1")
    assert plain.stdout == loud.stdout
    assert json.loads(plain.stdout)["lines"] == {"read": 13, "understood": 13, "ignored": 0, "unknown": 0}


def test_a_report_from_standard_input_is_the_same(log: Path) -> None:
    assert mailtlsctl("report", "-", stdin=log.read_text()).stdout == mailtlsctl("report", log).stdout


@pytest.mark.parametrize("command", [["report"], ["report", "--peers"], ["explain", "0.0.0.0/0", "--log"],
                                     ["explain", "::/0", "--log"]])  # fmt: skip
@pytest.mark.parametrize("columns", ["80", "100"])
def test_every_line_fits_the_screen_and_no_address_is_broken(command: list[str], columns: str, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    long_name = "a-very-long-label." * 12 + "example"
    log.write_text(log_of(MODERN, *(tuple(line.replace("mx.example.com", long_name) for line in TOO_OLD),) * 3, CUT))
    seen = mailtlsctl(*command, log, COLUMNS=columns)
    assert seen.returncode == 0
    assert widest(seen.stdout) <= int(columns)
    if command[:2] != ["explain", "::/0"]:
        assert "192.0.2.7" in seen.stdout
    if "--peers" in command or "::/0" in command:
        assert "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff" in seen.stdout


@pytest.mark.parametrize("command", HELP, ids=str)
def test_help_fits_80_columns_and_has_examples(command: list[str]) -> None:
    seen = mailtlsctl(*command, "--help", COLUMNS="80")
    assert seen.returncode == 0
    assert widest(seen.stdout) <= 80
    assert not command or f"\n    mailtlsctl {command[0]} " in seen.stdout
    assert mailtlsctl(*command, "-h", COLUMNS="80").stdout == seen.stdout


def test_the_version_is_that_of_the_package() -> None:
    seen = mailtlsctl("--version")
    assert (seen.returncode, seen.stdout) == (0, "mailtlsctl 0.1.0\n")


USAGE = [
    [], ["repot"], ["report"], ["report", "--format", "xml", "x"], ["report", "--since"], ["explain", "192.0.2.7", "x"],
    ["simulate", "x"], ["--nonsense"], ["report", "--since", "yesterday", "x"], ["report", "--since", "24 hours", "x"],
    ["report", "--since", "2026-11-22", "--until", "2026-11-21", "x"], ["explain", "192.0.2.7/24", "--log", "x"],
    ["explain", "", "--log", "x"], ["report", "\x1b[2J\udcff"], ["report", ""],
]  # fmt: skip


@pytest.mark.parametrize("arguments", USAGE, ids=str)
def test_wrong_usage_is_one_sentence_and_exit_status_2(arguments: list[str]) -> None:
    seen = mailtlsctl(*arguments)
    assert seen.returncode == 2
    assert not arguments or (SENTENCE.fullmatch(seen.stderr) and seen.stdout == "")
    assert "\x1b" not in seen.stderr
    assert "Traceback" not in seen.stderr


@pytest.mark.parametrize("command", [["report"], ["explain", "192.0.2.7", "--log"]], ids=str)
@pytest.mark.parametrize("kind", ["missing", "directory", "below a file"])
def test_a_log_that_cannot_be_opened_is_one_sentence_with_its_name(
    command: list[str], kind: str, tmp_path: Path, log: Path
) -> None:
    path = {"missing": tmp_path / "absent.log", "directory": tmp_path, "below a file": log / "x"}[kind]
    seen = mailtlsctl(*command, path)
    assert seen.returncode == 2
    assert SENTENCE.fullmatch(seen.stderr)
    assert str(path) in seen.stderr


def test_a_log_that_may_not_be_read_is_one_sentence_that_says_so(log: Path) -> None:
    log.chmod(0)
    mortal = (
        ["setpriv", "--inh-caps=-dac_override,-dac_read_search", "--bounding-set=-dac_override,-dac_read_search"]
        if os.geteuid() == 0
        else []
    )
    seen = subprocess.run([*mortal, PROGRAM, "report", log], capture_output=True, text=True, check=False)
    assert seen.returncode == 2
    assert SENTENCE.fullmatch(seen.stderr)
    assert f"{log} may not be read" in seen.stderr


def truncated(words: bytes) -> bytes:
    return gzip.compress(words)[:-20]


NO_LOGS = [
    (b"", "is empty"),
    (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "is a PDF document"),
    (bytes(range(8)) * 400, "holds binary data"),
    (b"\x1f\x8b\x08\x00garbage that is no deflate stream", "is a damaged gzip file"),
]


@pytest.mark.parametrize(("content", "words"), NO_LOGS, ids=[words for _, words in NO_LOGS])
def test_what_is_no_log_is_a_warning_and_an_empty_report(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(content)
    seen = mailtlsctl("report", "--format", "json", path)
    assert seen.returncode == 0
    assert words in seen.stderr
    assert all(line.startswith("mailtlsctl: warning: ") for line in seen.stderr.splitlines())
    assert json.loads(seen.stdout)["verdicts"] == []
    assert mailtlsctl("report", path).returncode == 0


def test_a_truncated_archive_is_reported_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "mail.log.1.gz"
    path.write_bytes(truncated(log_of(*(TOO_OLD,) * 2000).encode()))
    seen = mailtlsctl("report", path)
    assert seen.returncode == 0
    assert "is a truncated gzip file" in seen.stderr
    assert "192.0.2.7  mx.example.com" in seen.stdout


def test_since_and_until_bound_what_is_reported(log: Path) -> None:
    def sessions(*span: str) -> int:
        seen = mailtlsctl("report", "--format", "json", *span, log)
        return sum(row["count"] for row in json.loads(seen.stdout)["verdicts"])

    assert sessions("--since", "2026-11-21T00:00:00+01:00", "--until", "2026-11-21T01:00:00+01:00") == 3
    assert sessions("--since", "2026-11-21T01:00:00+01:00") == 0
    assert sessions("--until=2026-11-21T00:00:00+01:00") == 0


def test_a_reader_that_goes_away_is_no_complaint(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    many = (tuple(line.replace("192.0.2.7", f"192.0.{n >> 8}.{n & 255}") for line in TOO_OLD) for n in range(4000))
    log.write_text(log_of(*many))
    for arguments in (["--format", "json"], ["--peers"]):
        with subprocess.Popen([PROGRAM, "report", *arguments, log], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=environment()) as running:  # fmt: skip
            assert running.stdout is not None
            assert running.stderr is not None
            running.stdout.readline()
            running.stdout.close()
            assert running.stderr.read() == b""
        assert running.returncode == 141


def test_a_reader_that_never_was_there_is_no_complaint_either() -> None:
    with subprocess.Popen(
        [PROGRAM, "report", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as running:
        assert running.stdout is not None
        running.stdout.close()
        _, complaint = running.communicate(log_of(TOO_OLD).encode())
    assert (running.returncode, complaint) == (141, b"")


def test_a_full_disk_is_one_sentence(log: Path) -> None:
    with Path("/dev/full").open("w") as full:
        seen = subprocess.run([PROGRAM, "report", log], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert seen.returncode == 2
    assert SENTENCE.fullmatch(seen.stderr)
    assert "No space left on device" in seen.stderr


def test_closed_standard_output_and_error_are_no_error(log: Path) -> None:
    line = f"'{PROGRAM}' report '{log}' >&-; echo $?; '{PROGRAM}' report /nowhere/x 2>&-; echo $?"
    seen = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
    assert (seen.stdout, seen.stderr) == ("0\n2\n", "")


def test_interrupting_says_one_line_and_exits_130() -> None:
    more_than_a_pipe_holds = log_of(*(MODERN,) * 3000).encode()
    with subprocess.Popen(
        [PROGRAM, "report", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as running:
        assert running.stdin is not None
        running.stdin.write(more_than_a_pipe_holds)  # returns when the program has begun to read
        running.stdin.flush()
        running.send_signal(signal.SIGINT)
        _, complaint = running.communicate()
    assert running.returncode == 130
    assert SENTENCE.fullmatch(complaint.decode())


@pytest.mark.parametrize("charset", ["C", "POSIX", "C.UTF-8"])
@pytest.mark.parametrize("forced", ["", "ascii", "latin-1"])
def test_any_locale_can_print_any_name(charset: str, forced: str) -> None:
    log = log_of(tuple(line.replace("mx.example.com", "mx.m\u00fcnchen\u4e2d.example") for line in TOO_OLD))
    changes = {"LC_ALL": charset, **({"PYTHONIOENCODING": forced} if forced else {})}
    seen = subprocess.run([PROGRAM, "report", "-"], input=log.encode(), env=environment(**changes), capture_output=True,
                          check=False)  # fmt: skip
    assert (seen.returncode, seen.stderr) == (0, b"")
    assert b"192.0.2.7" in seen.stdout


def on_a_terminal(*arguments: str | Path, **changes: str) -> str:
    """Run on a pseudo-terminal; everything that would be on the screen."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([PROGRAM, *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
                          env=environment(**changes)) as running:  # fmt: skip
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # the terminal is gone when the program is
            while block := os.read(ours, 65536):
                seen += block
    os.close(ours)
    assert running.returncode == 0
    return seen.decode()


@pytest.mark.parametrize(
    ("changes", "coloured"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
    ids=str,
)
def test_colour_is_for_terminals_only(changes: dict[str, str], coloured: bool, log: Path) -> None:
    assert ("\x1b[" in on_a_terminal("report", log, **changes)) is coloured
    assert "\x1b" not in mailtlsctl("report", log, **changes).stdout


def test_text_of_strangers_never_reaches_the_terminal_raw() -> None:
    name, reason = "mx\x1b31m\u202emoc.\x9b2J", "odd\x1b[31m [bold]reason\u2028\x07"
    lines = (line.replace("mx.example.com", name).replace("unsupported protocol", reason) for line in TOO_OLD)
    log = log_of(tuple(lines))
    reports = [["report", "-"], ["report", "--peers", "-"], ["report", "--format", "json", "-"]]
    explanations = [["explain", "192.0.2.7", "--log", "-"], ["explain", "192.0.2.7", "--json", "--log", "-"]]
    for arguments in reports + explanations:
        seen = mailtlsctl(*arguments, stdin=log)
        assert seen.returncode == 0
        assert "[bold]reason" in seen.stdout
        assert not {"\x1b", "\u202e", "\u2028", "\x9b", "\x07"} & set(seen.stdout)


def test_simulate_follows_a_policy_and_refuses_what_is_none(log: Path, tmp_path: Path) -> None:
    policy = Path(__file__).parents[2] / "policies" / "default.toml"
    seen = mailtlsctl("simulate", "--policy", policy, log)
    assert (seen.returncode, seen.stderr) == (0, "")
    assert "192.0.2.7" in seen.stdout
    assert json.loads(mailtlsctl("simulate", "--policy", policy, "--json", log).stdout)
    broken = tmp_path / "broken.toml"
    broken.write_text("[causes.peer_too_odl]\n")
    for bad in (broken, tmp_path / "absent.toml"):
        seen = mailtlsctl("simulate", "--policy", bad, log)
        assert seen.returncode == 2
        assert SENTENCE.fullmatch(seen.stderr)
    seen = mailtlsctl("simulate", "--policy", policy, tmp_path / "absent.log")
    assert seen.returncode == 2
    assert SENTENCE.fullmatch(seen.stderr)
