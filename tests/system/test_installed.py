"""mailtls from scripts/install to scripts/uninstall on a strict mail server, on Debian 12 and 13."""

from __future__ import annotations

from tests.system.machine import SOURCE, Machine
from tests.system.site import MODERN, OLD, PLAIN, connect, harden, send

# What every machine changes by itself, or keeps of the change of another file; and what is no disk.
TRANSIENT = """
    /dev /proc /sys /run /tmp /root /usr/src /opt/packages
    /var/cache /var/log /var/mail /var/tmp /var/lib/postfix /var/lib/systemd /var/spool/postfix
    /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/.pwd.lock /etc/.updated
"""
LIST = """
find / -xdev \\( {pruned} \\) -prune -o -printf '%p %y %m %u %g %l\\n'
find /boot /etc /opt /srv /usr/lib/systemd /usr/local /var \\( {pruned} \\) -prune -o -type f -exec sha256sum {{}} +
"""


def tree_of(machine: Machine) -> set[str]:
    """Every path with its kind, mode and owner, and the content of every file that somebody might have changed."""
    pruned = " -o ".join(f"-path {path}" for path in TRANSIENT.split())
    return set(machine.script(LIST.format(pruned=pruned)).splitlines())


def install(machine: Machine) -> None:
    machine.run(f"{SOURCE}/scripts/install", patience_s=300)
    machine.until(machine.is_in_touch, "mailtlsd in touch with the keeper")


def test_nothing_is_left_behind(any_bare: Machine) -> None:
    """Neither a file nor an owner, also of what happened in between."""
    harden(any_bare)
    before = tree_of(any_bare)
    install(any_bare)
    any_bare.run("mailtlsctl", "setup")
    any_bare.run("mailtlsctl", "allow-legacy", PLAIN, "--level", "cleartext", "--for", "1h", "--reason", "a test")
    assert send(any_bare, PLAIN).delivered
    any_bare.run(f"{SOURCE}/scripts/install", patience_s=300)
    added = {line.split()[0] for line in tree_of(any_bare) - before}
    assert {"/opt/mailtls", "/usr/local/bin/mailtlsctl", "/etc/postfix/mailtls", "/etc/mailtls"} <= added
    assert any_bare.says("/opt/mailtls/uninstall", "--purge").splitlines()[-1] == "mailtls is removed."
    after = tree_of(any_bare)
    assert (sorted(after - before), sorted(before - after)) == ([], [])
    assert any_bare.script("ls /run | grep mailtls || :; nft list tables inet; pgrep -f mailtls || :") == ""
    assert not send(any_bare, PLAIN).delivered, "it is a stranger again"
    assert send(any_bare, MODERN).tls == "TLSv1.3"


def test_an_old_server_is_let_in_and_stays_so_over_restarts_and_a_reboot(any_bare: Machine) -> None:
    harden(any_bare)
    install(any_bare)
    any_bare.run("mailtlsctl", "setup")
    refused = send(any_bare, OLD)
    assert not refused.delivered
    assert "alert" in refused.why
    any_bare.run("mailtlsctl", "allow-legacy", PLAIN, "--level", "cleartext", "--for", "1h", "--reason", "a test")
    assert send(any_bare, PLAIN).delivered
    for unit in any_bare.says("systemctl", "list-unit-files", "--no-legend", "mailtls*").splitlines():
        any_bare.run("systemctl", "restart", unit.split()[0])
    any_bare.until(any_bare.is_in_touch, "mailtlsd in touch with the keeper")
    assert send(any_bare, PLAIN).delivered
    any_bare.reboot()
    connect(any_bare)
    assert send(any_bare, PLAIN).delivered
    assert send(any_bare, MODERN).tls == "TLSv1.3"
    assert not send(any_bare, OLD).delivered
