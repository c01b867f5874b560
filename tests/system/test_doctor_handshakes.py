"""`mailtlsctl doctor --handshakes` on Debian's Postfix as it is installed: port 25, its log, and the journal."""

from __future__ import annotations

import json
from typing import Any

from tests.system.machine import Machine

HELLOS = 100


def compared(machine: Machine) -> Any:
    return json.loads(machine.says("mailtlsctl", "doctor", "--handshakes", "--count", str(HELLOS), "--json"))


def test_debians_own_postfix_answers_as_foretold_with_the_reasons_in_its_log(installed: Machine) -> None:
    found = compared(installed)
    assert (found["tried"], found["misses"], found["log"]) == (HELLOS, [], "/var/log/mail.log")
    assert [row["certificates"] for row in found["services"]] == [["RSA"]], "snakeoil"


def test_where_there_is_only_the_journal_the_reasons_are_read_there(installed: Machine) -> None:
    installed.script("systemctl stop rsyslog syslog.socket; mv /var/log/mail.log /var/log/kept.log")
    try:
        found = compared(installed)
    finally:
        installed.script("mv /var/log/kept.log /var/log/mail.log; systemctl start syslog.socket rsyslog")
    assert (found["tried"], found["misses"], found["log"]) == (HELLOS, [], "the journal")
