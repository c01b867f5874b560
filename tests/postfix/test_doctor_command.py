"""`mailtlsctl doctor` and `export fail2ban` as an operator runs them: forms, exit statuses, logs, users, bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mailtls.core.doctorcatalogue import CATALOGUE
from mailtls.ctl import run
from mailtls.edge import postconf

from .doctor_dovecot_rows import DOVECOT
from .doctor_pki import Pki
from .doctor_site import Row, build
from .dovecot import PrivateDovecot, why_no_dovecot

pytestmark = pytest.mark.usefixtures("trusting")
STAMP = "2026-11-20T{}+00:00 mx postfix/"


def config_of(row: Row, root: Path, pki: Pki) -> list[str]:
    """Build the machine; give the arguments that choose it."""
    build(row, root, pki)
    config = root / "mailtls.toml"
    config.write_text(f'root = "{root}"\n')
    return ["--config", str(config)]


def doctor(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run it; give its exit status and what it printed."""
    capsys.readouterr()
    status = run(["doctor", *arguments])
    return status, capsys.readouterr().out


def log_of(path: Path, *lines: tuple[str, str, str]) -> str:
    """Write a log: time, program with its pid, message."""
    path.write_text("".join(f"{STAMP.format(at)}{program}: {words}\n" for at, program, words in lines))
    return str(path)


def failed(ip: str, at: str) -> tuple[tuple[str, str, str], ...]:
    """Lines of a session with a peer that is too old."""
    head = f"mx.old.example[{ip}]"
    told = (
        f"connect from {head}", f"SSL_accept error from {head}: -1",
        "warning: TLS library problem: error:0A000102:SSL routines::unsupported protocol:../ssl/statem/statem_srvr.c:1657:",
        f"lost connection after STARTTLS from {head}", f"disconnect from {head} ehlo=1 starttls=0/1 commands=1/2",
    )  # fmt: skip
    return tuple((at, "smtpd[9]", words) for words in told)


def test_a_sound_server_is_said_to_be_one(tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = doctor(config_of(Row("sound"), tmp_path, pki), capsys)
    assert status == 0
    assert "Nothing was found that needs a person." in said
    assert "smtp/inet (mx): TLSv1 to TLSv1.3" in said
    assert "RSA and ECDSA" in said


def test_a_finding_has_its_setting_and_the_next_command(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = config_of(Row("bad", {"smtpd_tls_protocols": "!SSLv2, TLSv9"}), tmp_path, pki)
    status, said = doctor(arguments, capsys)
    assert status == 1
    assert said.index("1 error") < said.index("protocols_invalid")
    assert "smtpd_tls_protocols = >=TLSv1" in said
    assert "Next: mailtlsctl edit main.cf" in said
    assert all(len(line) <= 80 for line in said.splitlines())


def test_json_has_the_same_and_what_each_service_offers(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = config_of(Row("bad", {"smtpd_tls_ciphers": "lowest"}), tmp_path, pki)
    status, said = doctor([*arguments, "--json"], capsys)
    page = json.loads(said)
    assert status == 1
    assert [row["id"] for row in page["findings"]] == ["ciphers_grade_invalid"]
    assert page["findings"][0]["why"] == CATALOGUE["ciphers_grade_invalid"].why
    submission = next(row for row in page["services"] if row["service"] == "submission/inet")
    assert submission["versions"] == ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
    assert "ECDHE-RSA-AES256-GCM-SHA384" in submission["ciphers"]
    assert page["openssl"]["version"].startswith("OpenSSL 3")


@pytest.mark.parametrize(
    ("main", "status", "word"),
    [
        ({}, 0, "OK"),
        ({"smtpd_tls_loglevel": "0"}, 0, "OK"),
        ({"smtpd_tls_security_level": "encrypt"}, 1, "WARNING"),
        ({"smtpd_tls_security_level": "mayy"}, 2, "CRITICAL"),
    ],
)
def test_monitoring_gets_one_line(
    main: dict[str, str | None], status: int, word: str, tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    got, said = doctor([*config_of(Row("x", main), tmp_path, pki), "--nagios"], capsys)
    assert got == status
    assert re.fullmatch(rf"MAILTLS {word} - [^|\n]+ \| errors=\d;;;0 warnings=\d;;;0 notes=\d;;;0 unseen=\d;;;0\n", said)


def test_an_rsa_certificate_alone_has_its_command(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    alone: dict[str, str | None] = {"smtpd_tls_eccert_file": None, "smtpd_tls_eckey_file": None}
    status, said = doctor([*config_of(Row("rsa", alone), tmp_path, pki), "--json"], capsys)
    (row,) = json.loads(said)["findings"]
    assert (status, row["id"]) == (0, "certificate_rsa_only")
    assert row["command"].startswith("certbot certonly --standalone --key-type ecdsa --cert-name mx.example.test-ecdsa")
    assert row["setting"].startswith("smtpd_tls_chain_files = ")


def test_the_help_names_every_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 for wrong usage or where there is nothing to examine" in said


def test_where_there_is_no_postfix_a_sentence_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "mailtls.toml"
    config.write_text(f'root = "{tmp_path}"\n')
    assert run(["doctor", "--config", str(config)]) == 2
    assert "there is no" in capsys.readouterr().err
    assert doctor(["--config", str(config), "--nagios"], capsys)[0] == 3


def test_where_postfix_is_not_installed_its_files_are_not_judged(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = config_of(Row("junk", text="junk\n"), tmp_path, pki)
    monkeypatch.setattr(postconf, "PATH", str(tmp_path))
    assert run(["doctor", *arguments]) == 2
    assert "is Postfix installed?" in capsys.readouterr().err


def test_a_configuration_that_cannot_be_parsed_is_a_finding(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = doctor(config_of(Row("junk", text="junk\x1b[31m junk\n"), tmp_path, pki), capsys)
    assert status == 1
    assert "postfix_config_broken" in said
    assert "\x1b" not in said


def test_another_directory_may_be_named(tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = config_of(Row("off", {"smtpd_tls_security_level": "none"}), tmp_path, pki)
    (tmp_path / "etc/postfix").rename(tmp_path / "etc/postfix-mx")
    status, said = doctor([*arguments, "--config-dir", str(tmp_path / "etc/postfix-mx")], capsys)
    assert (status, "tls_off" in said) == (1, True)


def test_the_log_tells_of_dovecots_death_behind_the_greeting(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = Path(__file__).parents[1] / "corpus/seed-0-dovecot-greeting.log"
    arguments = config_of(Row("sound"), tmp_path, pki)
    status, said = doctor([*arguments, "--json", "--log", str(seed)], capsys)
    rows = {row["id"]: row for row in json.loads(said)["findings"]}
    assert status == 1
    assert "log_lmtp_greeting_lost" in rows
    assert "Unknown protocol 'SSLv2'" in rows["log_lmtp_greeting_lost"]["seen"]
    assert any("imap-login: Fatal" in line for line in rows["log_lmtp_greeting_lost"]["evidence"])


def test_a_reload_before_the_first_failure_is_named(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(
        tmp_path / "mail.log",
        ("10:00:00", "master[1]", "reload -- version 3.7.11, configuration /etc/postfix"),
        ("10:00:30", "smtpd[9]", 'warning: Invalid TLS protocol list "TLSv9": disabling TLS support'),
    )
    _, said = doctor([*config_of(Row("sound"), tmp_path, pki), "--json", "--log", log], capsys)
    rows = {row["id"]: row for row in json.loads(said)["findings"]}
    assert set(rows) == {"log_invalid_protocol_list", "began_after"}
    assert "Postfix was reloaded" in rows["began_after"]["seen"]


def test_a_renewed_certificate_before_the_first_failure_is_named(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(
        tmp_path / "mail.log",
        ("10:00:30", "smtpd[9]", 'warning: Invalid TLS protocol list "TLSv9": disabling TLS support'),
    )
    own = Pki(Path(shutil.copytree(pki.directory, tmp_path / "pki")))
    main = dict.fromkeys(("smtpd_tls_cert_file", "smtpd_tls_key_file", "smtpd_tls_eccert_file", "smtpd_tls_eckey_file"))
    chains = {"smtpd_tls_chain_files": "{pki}/rsa.all, {pki}/ecdsa.all"}
    arguments = config_of(Row("sound", {**main, **chains}), tmp_path, own)
    renewed = 1795168800 - 60  # 2026-11-20 09:59:00 UTC
    os.utime(own.directory / "ecdsa.all", (renewed, renewed))
    _, said = doctor([*arguments, "--json", "--log", log], capsys)
    rows = {row["id"]: row for row in json.loads(said)["findings"]}
    assert f"{own.directory}/ecdsa.all was written" in rows["began_after"]["seen"]


def test_an_upgrade_before_the_first_failure_is_named(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(
        tmp_path / "mail.log",
        ("10:00:30", "smtpd[9]", 'warning: Invalid TLS protocol list "TLSv9": disabling TLS support'),
    )
    local = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1795168770))  # 2026-11-20 09:59:30 UTC
    packages = f"{local} upgrade libssl3:amd64 3.0.17-1 3.0.22-1\n{local} upgrade nano:amd64 7 8\n"
    arguments = config_of(Row("sound", files={"var/log/dpkg.log": packages}), tmp_path, pki)
    _, said = doctor([*arguments, "--json", "--log", log], capsys)
    rows = {row["id"]: row for row in json.loads(said)["findings"]}
    assert "libssl3 was upgraded" in rows["began_after"]["seen"]


def test_a_peer_that_only_fails_over_tls_and_is_banned_is_named(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line for hour in range(10, 16) for line in failed("192.0.2.7", f"{hour}:00:00")]
    log = log_of(tmp_path / "mail.log", *lines)
    arguments = config_of(Row("sound"), tmp_path, pki)
    memory = tmp_path / "var/lib/fail2ban/fail2ban.sqlite3"
    memory.parent.mkdir(parents=True)
    with closing(sqlite3.connect(memory)) as store:
        store.execute("create table bips (ip text, jail text, timeofban integer, bantime integer)")
        now = int(time.time())
        rows = [("192.0.2.7", "postfix", now, 3600), ("192.0.2.8", "postfix", now, 3600), ("192.0.2.7", "old", 1, 5)]
        store.executemany("insert into bips values (?, ?, ?, ?)", rows)
        store.commit()
    _, said = doctor([*arguments, "--json", "--log", log], capsys)
    (row,) = json.loads(said)["findings"]
    assert row["id"] == "fail2ban_banned"
    assert row["command"] == "fail2ban-client set postfix unbanip 192.0.2.7"
    assert len(row["evidence"]) == 1


def test_a_memory_of_bans_that_cannot_be_read_is_not_taken_for_an_empty_one(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(tmp_path / "mail.log", *failed("192.0.2.7", "10:00:00"))
    files = {"var/lib/fail2ban/fail2ban.sqlite3": "no database" * 100, "etc/fail2ban/jail.local": "no section\n"}
    _, said = doctor([*config_of(Row("corrupt", files=files), tmp_path, pki), "--json", "--log", log], capsys)
    unseen = {row["what"]: row["why"] for row in json.loads(said)["unseen"]}
    assert "cannot be read" in unseen["who is banned, /var/lib/fail2ban/fail2ban.sqlite3"]
    assert "does not parse" in unseen[f"fail2ban, {tmp_path}/etc/fail2ban/jail.local"]


def test_the_list_for_fail2ban_names_the_peer_and_the_jail(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line for hour in range(10, 16) for line in failed("192.0.2.7", f"{hour}:00:00")]
    log = log_of(tmp_path / "mail.log", *lines)
    jail = {"etc/fail2ban/jail.local": "[mine]\nenabled = true\nfilter = postfix[mode=ddos]\n"}
    arguments = config_of(Row("sound", files=jail), tmp_path, pki)
    assert run(["export", "fail2ban", "--log", log, *arguments]) == 0
    assert capsys.readouterr().out.endswith("[mine]\nignoreip = %(known/ignoreip)s 192.0.2.7\n")


def test_without_mailtlsd_the_list_says_whom_to_ask(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", "fail2ban", *config_of(Row("sound"), tmp_path, pki)]) == 3
    assert "--log" in capsys.readouterr().err


@contextmanager
def as_nobody() -> Iterator[Path]:
    """Give a directory that everybody may enter."""
    directory = Path(tempfile.mkdtemp(prefix="mailtls-doctor-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def child(arguments: list[str], user: int) -> tuple[int, str]:
    """Run a command in a process of another user."""
    run(arguments)  # now all is imported: that user may not be able to read this Python's files
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        import sys

        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - ends with the process
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        status = run(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_plain_user_is_told_what_only_root_can_see(pki: Pki) -> None:
    with as_nobody() as root:
        copied = shutil.copytree(pki.directory, root / "pki")
        for path in copied.iterdir():
            path.chmod(0o600 if path.suffix == ".key" else 0o644)
        arguments = config_of(Row("sound", files={"etc/fail2ban/jail.local": "[postfix]\n"}), root, Pki(copied))
        (root / "etc/fail2ban/jail.local").chmod(0o600)
        status, said = child(["doctor", "--json", *arguments], 65534)
    page = json.loads(said)
    assert status == 0, said
    assert page["findings"] == []
    hidden = {row["what"] for row in page["unseen"]}
    jail = f"fail2ban, {root}/etc/fail2ban/jail.local"
    assert {str(root / "pki/rsa.key"), str(root / "pki/ecdsa.key"), jail} <= hidden
    assert all(row["command"] for row in page["unseen"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_directory_that_a_plain_user_may_not_enter_is_said(pki: Pki) -> None:
    with as_nobody() as root:
        arguments = config_of(Row("closed"), root, pki)
        (root / "etc/postfix").chmod(0o700)
        status, said = child(["doctor", *arguments], 65534)
    assert status == 2
    assert "this user may not look there" in said
    assert "Traceback" not in said


@pytest.mark.skipif(why_no_dovecot() is not None, reason=str(why_no_dovecot()))
@pytest.mark.parametrize(("minimum", "fails"), [("TLSv1.2", False), ("TLSv9", True)])
def test_a_running_dovecot_is_asked_for_a_handshake(
    minimum: str, tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str], *, fails: bool
) -> None:
    with PrivateDovecot(f"ssl_min_protocol = {minimum}") as dovecot:
        text = (dovecot.directory / "dovecot.conf").read_text()
        _, said = doctor([*config_of(Row("running", files={DOVECOT: text}), tmp_path, pki), "--json"], capsys)
    rows = [row for row in json.loads(said)["findings"] if row["severity"] == "error"]
    assert {row["id"] for row in rows} == ({"dovecot_protocols_invalid", "dovecot_tls_fails"} if fails else set()), said
    assert all(f"port {dovecot.ports[each]}" in said for each in ("imaps", "pop3s")) is fails


def test_who_needs_a_low_grade_is_named_from_the_log(
    tmp_path: Path, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "mx.old.example[198.51.100.9]"
    told = (
        f"connect from {head}",
        f"Anonymous TLS connection established from {head}: TLSv1.2 with cipher NULL-SHA256 (0/0 bits)",
        f"disconnect from {head} ehlo=2 starttls=1 quit=1 commands=4",
    )
    log = log_of(tmp_path / "mail.log", *(("10:00:00", "smtpd[9]", words) for words in told))
    arguments = config_of(Row("low", {"smtpd_tls_ciphers": "null"}), tmp_path, pki)
    _, said = doctor([*arguments, "--json", "--log", log], capsys)
    rows = {row["id"]: row for row in json.loads(said)["findings"]}
    for name in ("weakened_for_all", "ciphers_weak"):
        assert "1 peer has nothing better, of 1: 198.51.100.9" in rows[name]["seen"]
        assert rows[name]["evidence"] == ["mailtlsctl allow-legacy 198.51.100.9"]
