"""docs/setup.md does what it says: step by step, with a real Postfix and real clients, and all the way back."""

from __future__ import annotations

import json
import re

from tests.system.machine import CHECKOUT, Machine
from tests.system.setup import boxes, follow

WAIVED = "127.0.0.7"
OTHER = "127.0.0.8"
KEYWORDS = """
import json, smtplib, sys
port, *addresses = sys.argv[1:]
def keywords(address):
    client = smtplib.SMTP("127.0.0.1", int(port), "client.example", 60, (address, 0))
    code, words = client.ehlo()
    if code != 250:
        sys.exit(f"{address}: {code} {words}")
    features = sorted(client.esmtp_features)
    client.quit()
    return features
print(json.dumps({address: keywords(address) for address in addresses}))
"""
SUBMISSION = "postconf -M 'submission/inet=submission inet n - y - - smtpd'; systemctl reload postfix"
POSTSCREEN = """
postconf -M 'smtp/inet=smtp inet n - y - 1 postscreen'
postconf -M 'smtpd/pass=smtpd pass - - y - - smtpd'
postconf -M 'tlsproxy/unix=tlsproxy unix - - y - 0 tlsproxy'
postconf -M 'dnsblog/unix=dnsblog unix - - y - 0 dnsblog'
postconf -e postscreen_greet_wait=1s
systemctl restart postfix
"""


def offered(machine: Machine, port: int = 25) -> dict[str, list[str]]:
    """What EHLO offers to both addresses."""
    return dict(json.loads(machine.says("python3", "-c", KEYWORDS, str(port), WAIVED, OTHER)))


def allow(machine: Machine, peer: str = WAIVED) -> None:
    machine.run("mailtlsctl", "allow-legacy", peer, "--level", "cleartext", "--for", "1h", "--reason", "a test")


def test_every_box_is_run_or_says_why_not() -> None:
    assert {box.mark for box in boxes()} == {"sh", "sh by-hand", "sh doors", "sh milter", "sh undo", "sh purge"}
    assert len(boxes()) == len(re.findall("^```", (CHECKOUT / "docs/setup.md").read_text("utf-8"), re.MULTILINE)) / 2
    for box in boxes():
        assert ("adduser" in box.commands) == (box.mark == "sh by-hand")


def test_setup_as_printed_lets_one_peer_in_on_port_25_only_and_undo_puts_everything_back(bare: Machine) -> None:
    bare.script(SUBMISSION)
    before = {port: offered(bare, port) for port in (25, 587)}
    assert "starttls" in before[25][WAIVED]
    configuration = bare.says("cat", "/etc/postfix/master.cf")

    said = follow(bare, "1.", "2.", "3.")
    assert "/etc/mailtls/policies/default.toml: fine" in said
    assert "\n+" in said, "--dry-run shows what would change"
    assert "\nstarttls\n" in said, "step 3 shows the entry"
    assert {port: offered(bare, port) for port in (25, 587)} == before, "nothing changes for anybody without a waiver"

    allow(bare)
    without = [word for word in before[25][WAIVED] if word != "starttls"]
    assert offered(bare) == {WAIVED: without, OTHER: before[25][OTHER]}
    assert offered(bare, 587) == before[587], "users behind the same address keep STARTTLS"
    follow(bare, "A new version")
    assert offered(bare)[WAIVED] == without, "a waiver outlives a new version"

    follow(bare, "Undo", mark="sh undo")
    assert {port: offered(bare, port) for port in (25, 587)} == before
    assert bare.says("cat", "/etc/postfix/master.cf") == configuration
    assert bare.run("systemctl", "list-unit-files", "--no-legend", "mailtls*", check=False).stdout == ""
    assert "mailtls" not in bare.says("postconf", "-n") + bare.says("postconf", "-P")


def test_behind_postscreen_too(bare: Machine) -> None:
    bare.script(POSTSCREEN)
    before = offered(bare)
    configuration = bare.says("cat", "/etc/postfix/master.cf")
    follow(bare, "1.", "2.")
    assert offered(bare) == before

    allow(bare)
    assert "starttls" in before[WAIVED]
    assert offered(bare) == {WAIVED: [word for word in before[WAIVED] if word != "starttls"], OTHER: before[OTHER]}

    follow(bare, "Undo", mark="sh purge")
    assert offered(bare) == before
    assert bare.says("cat", "/etc/postfix/master.cf") == configuration


def test_after_a_reboot_everything_is_there_and_tables_come_before_postfix(bare: Machine) -> None:
    follow(bare, "1.", "2.")
    allow(bare)
    bare.script("systemctl stop mailtls.target mailtls-expire.timer; rm -r /etc/postfix/mailtls")
    bare.reboot()
    bare.until(bare.is_in_touch, "mailtlsd in touch with the keeper")
    both = offered(bare)
    assert ("starttls" in both[WAIVED], "starttls" in both[OTHER]) == (False, True)
    ready = [float(bare.shows(unit, "ActiveEnterTimestampMonotonic")) for unit in ("mailtls-tables", postfix(bare))]
    assert ready == sorted(ready)
    assert "Finished mailtls-tables.service" in bare.says("journalctl", "-q", "-b")


def postfix(machine: Machine) -> str:
    """The unit that starts Postfix: an instance's up to Debian 12."""
    return "postfix@-.service" if machine.is_active("postfix@-.service") else "postfix.service"


def test_tables_may_be_of_the_other_type(bare: Machine) -> None:
    bare.write("/etc/mailtls/mailtls.toml", '[postfix]\ntable_type = "hash"\n')
    follow(bare, "1.", "2.")
    assert "hash:/etc/postfix/mailtls/discard" in bare.says("postconf", "-P")
    allow(bare)
    both = offered(bare)
    assert "starttls" not in both[WAIVED]
    assert "starttls" in both[OTHER]
