"""The doctor on real configurations: what must be found is found, and nothing else, with Postfix's own programs."""

from __future__ import annotations

import hashlib
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailtls.core.doctorcatalogue import CATALOGUE
from mailtls.core.doctorfinding import Severity
from mailtls.core.doctoridentity import Trust
from mailtls.core.pem import parse_pem
from mailtls.core.suite import KeyType
from mailtls.edge import doctorfiles
from mailtls.edge.doctordns import Names, NotAskedError
from mailtls.edge.doctorfiles import FileReader
from mailtls.edge.doctorserved import served
from mailtls.service.doctor import Ward, look
from mailtls.service.doctorpostfix import look_at_postfix
from mailtls.service.doctorsenders import Senders

from .configuration import Settings
from .doctor_dovecot_rows import DOVECOT, DOVECOT_ROWS, NEIGHBOUR_ROWS, OLD_NAMES, TLSA, version
from .doctor_pki import HOST, Pki
from .doctor_rows import ROWS, SOUND_ROWS
from .doctor_site import MASTER, Row, build, examined, spelled
from .instance import PrivatePostfix

pytestmark = pytest.mark.usefixtures("trusting")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_exactly_what_is_wrong_is_found(row: Row, tmp_path: Path, pki: Pki) -> None:
    found = examined(row, tmp_path, pki).findings
    assert {each.id for each in found} == row.found, spelled(found)
    assert all(each.seen and each.where for each in found)
    words = spelled(found)
    assert all(word in words for word in row.says), words


needs_dovecot = pytest.mark.skipif(version() is None, reason="no Dovecot: apt install dovecot-core dovecot-imapd")


@needs_dovecot
@pytest.mark.parametrize("row", (*DOVECOT_ROWS, *OLD_NAMES), ids=lambda row: row.name)
def test_exactly_what_is_wrong_with_dovecot_is_found(row: Row, tmp_path: Path, pki: Pki) -> None:
    if row.name == "dovecot: sound, with Postfix and rspamd":
        (tmp_path / "queue/private").mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as there:
            there.bind(str(tmp_path / "queue/private/dovecot-lmtp"))
    test_exactly_what_is_wrong_is_found(row, tmp_path, pki)


@pytest.mark.parametrize("row", NEIGHBOUR_ROWS, ids=lambda row: row.name)
def test_exactly_what_is_wrong_beside_them_is_found(row: Row, tmp_path: Path, pki: Pki) -> None:
    test_exactly_what_is_wrong_is_found(row, tmp_path, pki)


def test_records_that_fit_every_certificate_are_no_finding(tmp_path: Path, pki: Pki) -> None:
    published = tuple(
        f"3 1 1 {hashlib.sha256(record.public_key).hexdigest()}"
        for name in ("rsa", "ecdsa")
        for record in doctorfiles.records(list(parse_pem((pki.directory / f"{name}.crt").read_text())))
    )
    fitting = Row("dane: they fit", dns={TLSA: published})
    assert not examined(fitting, tmp_path, pki).findings
    half = Row("dane: only one fits", dns={TLSA: published[:1]})
    assert [each.id for each in examined(half, tmp_path, pki).findings] == ["dane_mismatch"]


def test_what_cannot_be_asked_is_said(tmp_path: Path, pki: Pki) -> None:
    checkup = examined(Row("no DNS"), tmp_path, pki)
    assert [each.why for each in checkup.unseen] == ["there is no DNS here"]


def test_a_domain_whose_dns_fails_hides_nothing_of_the_others(tmp_path: Path, pki: Pki) -> None:
    row = Row("lame", {"mydestination": "lame.test, example.test"})
    build(row, tmp_path, pki)

    def ask(name: str, kind: str) -> tuple[str, ...]:
        if name.endswith("lame.test"):
            raise NotAskedError("the DNS does not answer for lame.test", alone=True)
        return {TLSA: ("3 1 1 " + "ab" * 32,)}.get((name, kind), ())

    checkup = look(Ward(tmp_path, tmp_path / "etc/postfix", datetime.now(UTC), names=Names(ask, lambda _: None)))
    assert {each.id for each in checkup.findings} == {"dane_mismatch"}
    assert {each.why for each in checkup.unseen} == {
        "the DNS does not answer for lame.test",
        "this Postfix does not run, or does not listen there; DANE and MTA-STS by the files",
    }


def test_a_tlsa_record_without_data_fits_nothing(tmp_path: Path, pki: Pki) -> None:
    found = examined(Row("short", dns={TLSA: ("3 1 1",)}), tmp_path, pki).findings
    assert {each.id for each in found} == {"dane_mismatch"}


def test_a_table_that_is_not_asked_is_said(tmp_path: Path, pki: Pki) -> None:
    row = Row("proxied", {"tls_server_sni_maps": "proxy:lmdb:{root}/etc/postfix/nope"})
    checkup = examined(row, tmp_path, pki)
    assert not checkup.findings
    assert f"table proxy:lmdb:{tmp_path}/etc/postfix/nope" in {each.what for each in checkup.unseen}


def test_the_certificates_of_a_host_name_in_dovecot_are_looked_at(tmp_path: Path, pki: Pki) -> None:
    if version() is None or version() >= (2, 4):  # type: ignore[operator]
        pytest.skip("needs Dovecot 2.3")
    text = (
        "protocols = imap\nssl_cert = <{pki}/rsa.pem\nssl_key = <{pki}/rsa.key\nlocal_name imap.example.test {\n"
        "  ssl_cert = <{pki}/other.pem\n  ssl_key = <{pki}/rsa.key\n}\n"
    )
    found = examined(Row("local_name", files={DOVECOT: text}), tmp_path, pki).findings
    assert [(each.id, each.where[0].partition(", ")[2]) for each in found] == [
        ("key_mismatch", "local_name imap.example.test")
    ]


def test_sound_configurations_have_no_error_and_no_warning() -> None:
    for row in SOUND_ROWS:
        assert all(CATALOGUE[name].severity is Severity.NOTE for name in row.found), row.name


def test_the_table_has_no_row_twice() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names)) >= 60


def test_a_port_of_another_program_is_found(tmp_path: Path, pki: Pki) -> None:
    with socket.socket() as other:
        port = _listen_high(other)
        found = examined(Row("taken", master=f"{MASTER}127.0.0.1:{port} inet n - y - - smtpd\n"), tmp_path, pki).findings
    assert [(each.id, each.command) for each in found] == [("listener_taken", f"ss -ltnp 'sport = :{port}'")]


def test_the_ports_of_the_running_postfix_are_its_own() -> None:
    with PrivatePostfix() as postfix:
        found = look_at_postfix(postfix.configuration, FileReader(), datetime.now(UTC), lambda _: ())
    assert not [each for each in found.findings if each.id.startswith("listener")]


def _listen_high(other: socket.socket) -> int:
    """Listen at a port that the fixture leaves real."""
    for port in range(30011, 32000, 7):
        with suppress(OSError):
            other.bind(("127.0.0.1", port))
            other.listen()
            return port
    raise AssertionError("no port is free")


def test_relative_names_of_files_begin_in_the_queue_directory(tmp_path: Path, pki: Pki) -> None:
    """As a running Postfix takes them (chdir in master/single_server.c): the same row is sound where the files are there."""
    main: dict[str, str | None] = {
        "smtpd_tls_cert_file": None, "smtpd_tls_key_file": None, "smtpd_tls_eccert_file": None,
        "smtpd_tls_eckey_file": None, "smtpd_tls_chain_files": "pem/both.all",
    }  # fmt: skip
    row = Row("relative", main, master=MASTER.replace(
        "-  smtpd\n", "-  smtpd\n  -o smtpd_discard_ehlo_keyword_address_maps=cidr:pem/table\n", 1))  # fmt: skip
    (tmp_path / "queue/pem").mkdir(parents=True)
    (tmp_path / "queue/pem/both.all").symlink_to(pki.directory / "both.all")
    (tmp_path / "queue/pem/table").write_text("192.0.2.0/24 starttls\n")
    found = examined(row, tmp_path, pki).findings
    assert not found, spelled(found)


def test_what_a_running_postfix_shows_is_what_its_files_held_when_it_began(pki: Pki) -> None:
    extra = {"smtpd_tls_chain_files": f"{pki.directory}/both.all"}
    with PrivatePostfix(Settings(extra=extra)) as postfix:
        shown = served(HOST, (postfix.address, postfix.ports["smtp"]))
    assert [(each.leaf.kind, each.trust) for each in shown if each.leaf] == [
        (KeyType.RSA, Trust.TRUSTED), (KeyType.ECDSA, Trust.TRUSTED),
    ]  # fmt: skip
    assert all(len(each.chain) == 2 for each in shown)
    assert served(HOST, (postfix.address, postfix.ports["smtp"])) == ()


def test_records_are_held_against_what_is_shown_and_not_against_the_files(pki: Pki) -> None:
    """The files are new, and the records are right for them; the running Postfix still shows the old certificate."""
    files = (FileReader().identity(("", ""), f"{pki.directory}/rsa.pem", f"{pki.directory}/rsa.key"),)
    assert files[0].leaf is not None
    record = f"3 1 1 {hashlib.sha256(files[0].leaf.public_key).hexdigest()}"
    names = Names(lambda name, kind: {TLSA: (record,)}.get((name, kind), ()), lambda _: None)
    with PrivatePostfix(Settings(extra={"smtpd_tls_chain_files": f"{pki.directory}/both.all"})) as postfix:
        port = (postfix.address, postfix.ports["smtp"])
        fitting, old, absent = Senders(names), Senders(names), Senders(names)
        found = list(fitting.findings({HOST: files}, (), {HOST: port}))
        assert [each.seen for each in found] == [
            f"No TLSA record of _25._tcp.{HOST} speaks of the ECDSA certificate shown at 127.0.0.1:{port[1]}."
        ]
    assert not list(old.findings({HOST: files}, (), {HOST: port}))
    assert "not all certificates were shown at 127.0.0.1" in old.unseen[0].why
    assert not list(absent.findings({HOST: files}, (), {HOST: "it is asleep"}))
    assert absent.unseen[0].why == "it is asleep; DANE and MTA-STS by the files"
