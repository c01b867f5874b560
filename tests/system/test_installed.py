"""mailtls from scripts/install to scripts/uninstall on a strict mail server, on Debian 12 and 13."""

from __future__ import annotations

from tests.system.machine import SOURCE, Machine
from tests.system.setup import follow
from tests.system.site import MODERN, OLD, PLAIN, RSA_ONLY, Sent, connect, harden, send

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


ALL_DOORS = {"legacy-rsa", "legacy", "sslv3"}


def tree_of(machine: Machine) -> set[str]:
    """Every path with its kind, mode and owner, and the content of every file that somebody might have changed."""
    pruned = " -o ".join(f"-path {path}" for path in TRANSIENT.split())
    return set(machine.script(LIST.format(pruned=pruned)).splitlines())


def install(machine: Machine) -> None:
    """As docs/setup.md says, with an RSA certificate that the old servers do not look at."""
    machine.run(f"{SOURCE}/scripts/install", patience_s=300)
    follow(machine, "2.", mark="sh doors")
    machine.until(machine.is_in_touch, "mailtlsd in touch with the keeper")
    machine.until(lambda: serving(machine) == ALL_DOORS, "every door serves")


def serving(machine: Machine) -> set[str]:
    doors = machine.control("status")["keeper"]["doors"]
    return {door["level"] for door in doors if door["up"]}


def let_in(machine: Machine, peer: str, *, lasts: str = "1h", level: str | None = None) -> str:
    """Let a peer in; its level is what the evidence asks for where none is given. Gives what was said."""
    chosen = () if level is None else ("--level", level)
    return machine.says("mailtlsctl", "allow-legacy", peer, *chosen, "--for", lasts, "--reason", "a test")


def test_nothing_is_left_behind(any_bare: Machine) -> None:
    """Neither a file nor an owner, also of what happened in between."""
    harden(any_bare)
    before = tree_of(any_bare)
    install(any_bare)
    let_in(any_bare, PLAIN, level="cleartext")
    let_in(any_bare, OLD, level="legacy")
    assert send(any_bare, PLAIN).delivered
    assert send(any_bare, OLD).delivered
    any_bare.run(f"{SOURCE}/scripts/install", patience_s=300)
    added = {line.split()[0] for line in tree_of(any_bare) - before}
    assert {"/opt/mailtls", "/usr/local/bin/mailtlsctl", "/etc/postfix/mailtls", "/etc/mailtls"} <= added

    assert any_bare.says("/opt/mailtls/uninstall", "--purge").splitlines()[-1] == "mailtls is removed."
    after = tree_of(any_bare)
    assert (sorted(after - before), sorted(before - after)) == ([], [])
    assert any_bare.script("ls /run | grep mailtls || :; nft list tables; grep -la 'bin/[m]ailtls' /proc/[0-9]*/cmdline || :") == ""
    assert not send(any_bare, PLAIN).delivered, "it is a stranger again"
    assert not send(any_bare, OLD).delivered
    assert send(any_bare, MODERN).tls == "TLSv1.3"


def test_an_old_server_is_let_in_and_stays_so_over_restarts_and_reboots(any_bare: Machine) -> None:
    harden(any_bare)
    install(any_bare)
    for peer, level, tls in ((OLD, "legacy", "TLSv1"), (RSA_ONLY, "legacy-rsa", "TLSv1.2")):
        refused = send(any_bare, peer)
        assert (refused.delivered, "alert" in refused.why.lower()) == (False, True)
        any_bare.until(lambda peer=peer: is_known(any_bare, peer), "mailtlsd has seen it fail")  # type: ignore[misc]
        said = let_in(any_bare, peer)
        assert f"at level {level} until" in said
        assert "live after" in said
        assert send(any_bare, peer) == Sent(delivered=True, tls=tls, why="")
    let_in(any_bare, PLAIN, level="cleartext")

    for line in any_bare.says("systemctl", "list-units", "--plain", "--no-legend", "mailtls*").splitlines():
        if line.split()[0] != "mailtls-policy.socket":  # it goes with mailtlsd: systemd begins no socket of what runs
            any_bare.run("systemctl", "restart", line.split()[0])
    all_are_let_in(any_bare)
    any_bare.reboot()
    connect(any_bare)
    all_are_let_in(any_bare)


def is_known(machine: Machine, ip: str) -> bool:
    return ip in {peer["ip"] for peer in machine.control("peers", "--failing")["peers"]}


def all_are_let_in(machine: Machine) -> None:
    machine.until(machine.is_in_touch, "mailtlsd in touch with the keeper")
    machine.until(lambda: serving(machine) == ALL_DOORS, "every door serves")
    assert [send(machine, peer).tls for peer in (OLD, RSA_ONLY, PLAIN, MODERN)] == ["TLSv1", "TLSv1.2", None, "TLSv1.3"]
    assert send(machine, PLAIN).delivered


def test_mail_flows_and_waivers_end_whatever_is_dead(bare: Machine) -> None:
    """Broken settings are no endless starting; killed, not started at boot: the strict door does not notice."""
    harden(bare)
    install(bare)
    let_in(bare, OLD, level="legacy")
    bare.script("echo nonsense >>/etc/mailtls/mailtls.toml; systemctl restart mailtls-keeper mailtlsd || :")
    for unit in ("mailtls-keeper", "mailtlsd"):
        assert (bare.shows(unit, "ActiveState"), bare.shows(unit, "ExecMainStatus")) == ("failed", "2")
        assert bare.shows(unit, "NRestarts") == "0"
        assert "Traceback" not in bare.journal(unit)
    assert (send(bare, MODERN).tls, send(bare, OLD).delivered) == ("TLSv1.3", True)

    bare.script("sed -i '/nonsense/d' /etc/mailtls/mailtls.toml; systemctl disable mailtls.target")
    bare.reboot()
    connect(bare)
    assert not bare.is_active("mailtlsd")
    assert (send(bare, MODERN).tls, send(bare, OLD).delivered) == ("TLSv1.3", False)
    bare.script("systemctl enable --now mailtls.target")
    bare.until(lambda: send(bare, OLD).delivered, "the keeper leads it to its door again")

    let_in(bare, OLD, level="legacy", lasts="15s")
    let_in(bare, PLAIN, level="cleartext", lasts="15s")
    assert send(bare, OLD).delivered
    bare.script("systemctl kill -s KILL mailtls-keeper mailtlsd; systemctl stop mailtls.target mailtls-expire.timer")
    assert send(bare, MODERN).tls == "TLSv1.3"
    bare.until(lambda: not send(bare, OLD).delivered, "its waiver ends by itself in the kernel")
    bare.until(lambda: has_ended(bare), "what the timer starts every minute ends the other")


def has_ended(machine: Machine) -> bool:
    machine.run("systemctl", "start", "mailtls-expire.service")
    return not send(machine, PLAIN).delivered
