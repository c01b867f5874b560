"""mailtls-apply under systemd: edits in place are noticed, changes are taken back, what was interrupted is healed."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256

import pytest
from tests.system.machine import Machine

UNITS = tuple(f"mailtls-{name}" for name in (
    "recover.service", "examine.path", "examine.service", "examine.timer", "guard.path", "guard.service",
))  # fmt: skip
MAIN = "/etc/postfix/main.cf"
METRICS = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9811/metrics').read().decode())"
PEERS = ("127.0.7.1", "127.0.7.2", "127.0.7.3")
PEER = """
import smtplib, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.maximum_version = ssl.TLSVersion.TLSv1_2
with smtplib.SMTP("127.0.0.1", 25, "peer.example", 30, (sys.argv[1], 0)) as client:
    client.starttls(context=context)
    client.sendmail("peer@example.org", ["root@localhost"], "Subject: a trial\\n\\nfrom a peer\\n")
"""
CHECKPOINT = "/var/lib/mailtls-apply/checkpoint.json"


@pytest.fixture
def set_up(machine: Machine) -> Iterator[Machine]:
    """A machine with Postfix set up, and as it was afterwards."""
    machine.script("systemctl start postfix mailtls-examine.path mailtls-guard.path; mailtlsctl setup")
    yield machine
    machine.script("mailtlsctl unsetup; systemctl reset-failed 'mailtls*' || :")


def faults(machine: Machine) -> dict[str, str]:
    return {each["kind"]: each["sentence"] for each in machine.control("status")["mailtlsd"]["faults"]}


def test_systemd_has_nothing_to_say_of_the_units(machine: Machine) -> None:
    result = machine.run("systemd-analyze", "verify", "--man=no", *UNITS, check=False)
    assert (result.stdout + result.stderr, result.returncode) == ("", 0)


def test_an_edit_in_place_that_breaks_postfix_is_an_alarm_within_seconds(set_up: Machine) -> None:
    set_up.until(lambda: "configuration" not in faults(set_up), "a configuration without a fault")
    # An edit in the last moment of an examination is seen within five minutes only (docs/decisions/0029).
    set_up.until(lambda: set_up.shows("mailtls-examine.service", "ActiveState") == "inactive", "no examination running")
    set_up.script(f"cp -p {MAIN} /var/lib/main.cf.kept; echo 'smtpd_timeout = abc' >>{MAIN}")
    set_up.until(lambda: "bad time value or unit: abc" in faults(set_up).get("configuration", ""), "the alarm")
    assert 'mailtls_server_fault{kind="configuration"} 1.0' in set_up.run("python3", "-c", METRICS).stdout
    assert "smtpd_timeout = abc" in set_up.says("cat", MAIN), "nothing is touched"
    back = set_up.run("mailtlsctl", "reload", check=False)
    assert back.returncode == 4
    assert "the last good bytes are back" in back.stderr
    set_up.until(lambda: "configuration" not in faults(set_up), "the end of the alarm")
    set_up.run("cmp", MAIN, "/var/lib/main.cf.kept")


@pytest.mark.parametrize("name", ["main.cf", "master.cf"])
def test_a_file_that_is_gone_is_an_alarm_within_seconds(set_up: Machine, name: str) -> None:
    set_up.until(lambda: "configuration" not in faults(set_up), "a configuration without a fault")
    set_up.until(lambda: set_up.shows("mailtls-examine.service", "ActiveState") == "inactive", "no examination running")
    set_up.script(f"mv /etc/postfix/{name} /var/lib/{name}.gone")
    set_up.until(lambda: f"/etc/postfix/{name}" in faults(set_up).get("configuration", ""), "the alarm")
    set_up.script(f"mv /var/lib/{name}.gone /etc/postfix/{name}")
    set_up.until(lambda: "configuration" not in faults(set_up), "the end of the alarm")


def test_what_mailtlsd_asks_for_is_taken_back_once(set_up: Machine) -> None:
    before = set_up.says("sha256sum", MAIN)
    set_up.script("VISUAL=\"sed -i '$ a smtpd_timeout = 299s'\" mailtlsctl edit main.cf")
    assert set_up.says("sha256sum", MAIN) != before
    change = json.loads(set_up.says("cat", "/run/mailtls-apply/change.json"))
    peers = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    request = json.dumps({"change": change["id"], "at": change["at"], "peers": peers})
    leave = "cat >/run/mailtls/guard.new; mv /run/mailtls/guard.new /run/mailtls/guard.json"
    set_up.run("sh", "-c", leave, user="mailtls", text=request)
    set_up.until(lambda: "was taken back" in faults(set_up).get("guard", ""), "the news of it")
    assert set_up.says("sha256sum", MAIN) == before
    assert set_up.run("test", "-e", "/run/mailtls/guard.json", check=False).returncode == 1
    assert set_up.shows("mailtls-guard.service", "Result") == "success"


def test_an_edit_that_locks_peers_out_is_taken_back_by_itself(set_up: Machine) -> None:
    """From the first failing handshake to the last reload nobody does anything."""

    def delivers(peer: str) -> bool:
        return set_up.run("python3", "-c", PEER, peer, check=False).returncode == 0

    assert all(delivers(peer) for peer in PEERS)
    set_up.until(lambda: len(set_up.control("peers", "127.0.7.0/24")["peers"]) == len(PEERS), "peers that are known")
    before = set_up.says("sha256sum", MAIN)
    set_up.script("VISUAL=\"sed -i '$ a smtpd_tls_protocols = >=TLSv1.3'\" mailtlsctl edit main.cf")
    assert not any(delivers(peer) for peer in PEERS)
    set_up.until(lambda: set_up.says("sha256sum", MAIN) == before, "the former main.cf")
    set_up.until(lambda: "was taken back" in faults(set_up).get("guard", ""), "the news of it")
    assert all(delivers(peer) for peer in PEERS)
    assert "3 peers that used to succeed" in set_up.journal("mailtlsd.service")
    assert "was taken back" in set_up.journal("mailtls-guard.service")


def test_what_was_interrupted_is_taken_back_before_postfix_starts(set_up: Machine) -> None:
    good = set_up.run("cat", MAIN).stdout.encode()
    broken = good + b"smtpd_timeout = abc\n"
    file = {"path": MAIN, "before": b64encode(good).decode(), "after": b64encode(broken).decode()}
    intent = {
        "what": "the edit of main.cf", "configuration": "/etc/postfix", "step": "swapping", "files": [file],
        "sums": [sha256(good).hexdigest()],
    }  # fmt: skip
    set_up.run("sh", "-c", f"cat >{CHECKPOINT}", text=json.dumps(intent))
    set_up.run("sh", "-c", f"cat >{MAIN}", text=broken.decode())
    set_up.reboot()
    assert "was taken back" in set_up.journal("mailtls-recover.service")
    assert set_up.run("cat", MAIN).stdout.encode() == good
    assert set_up.run("test", "-e", CHECKPOINT, check=False).returncode == 1
    ended = set_up.shows("mailtls-recover.service", "ExecMainExitTimestampMonotonic")
    units = ("postfix@-.service", "postfix.service")  # in Debian 12 the first, in Debian 13 the second
    began = next(at for unit in units if (at := int(set_up.shows(unit, "InactiveExitTimestampMonotonic"))))
    assert 0 < int(ended) <= began
    set_up.until(set_up.is_in_touch, "mailtlsd in touch with the keeper")
    set_up.run("systemctl", "start", "mailtls-recover.service")
    assert set_up.shows("mailtls-recover.service", "ConditionResult") == "no"
