"""A second scripts/install, and a scripts/uninstall that must not go on: what runs goes on running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.system.machine import SOURCE, Machine

NEW = "/var/tmp/new"  # noqa: S108 in the machine
POLICIES = "/etc/mailtls/policies"


@pytest.fixture
def source(machine: Machine) -> Iterator[str]:
    """A source tree that can be changed; afterwards the machine is as it was."""
    machine.script(f"cp -R {SOURCE} {NEW}")
    yield NEW
    machine.script(f"rm -r {NEW}; rm -f {POLICIES}/*.new; systemctl enable --now mailtls.target mailtlsd")
    machine.script("journalctl -q --rotate; journalctl -q --vacuum-time=1us")  # tracebacks of versions that were broken here


def install(machine: Machine, source: str) -> tuple[int, str]:
    """The exit status, and all that was said."""
    result = machine.run(f"{source}/scripts/install", check=False, patience_s=300)
    return result.returncode, result.stdout + result.stderr


def release(machine: Machine) -> str:
    return machine.says("readlink", "/opt/mailtls/current")


def running(machine: Machine) -> list[str]:
    """The commands of our processes."""
    return machine.script("cat $(grep -la 'bin/[m]ailtls' /proc/[0-9]*/cmdline)").split("/bin/mailtls")[:-1]


def test_a_new_version_counts_at_once_and_of_the_former_nothing_is_left(machine: Machine, source: str) -> None:
    before = release(machine)
    machine.script(f"sed -i 's/__version__ = .*/__version__ = \"9.9\"/' {source}/daemon/mailtls/__init__.py")
    machine.script(f"rm {source}/systemd/mailtls-examine.*; echo '[Unit]' >{source}/systemd/mailtls-other.target")
    assert install(machine, source)[0] == 0
    assert machine.control("status")["mailtlsd"]["version"] == "9.9"
    assert all(f"{release(machine)}/bin/python" in command for command in running(machine))
    assert len(running(machine)) == 2
    assert not machine.exists(before)
    units = machine.says("ls", "/usr/local/lib/systemd/system")
    assert ("mailtls-other.target" in units, "mailtls-examine" in units) == (True, False)
    assert install(machine, SOURCE)[0] == 0


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (f"echo 'import nothing_of_the_kind' >>{NEW}/daemon/mailtls/keeper.py", 4),
        (f"sed -i 's/^ExecStart=.*/ExecStart=mailtls-nothing/' {NEW}/systemd/mailtlsd.service", 4),
        (f"echo 'import nothing_of_the_kind' >>{NEW}/daemon/mailtls/daemon.py", 2),
        (f"echo 'import nothing_of_the_kind' >>{NEW}/daemon/mailtls/ctl/app.py", 2),
    ],
)
def test_a_version_that_does_not_run_here_never_counts_or_is_put_back(
    machine: Machine, source: str, fault: str, status: int
) -> None:
    before, files = release(machine), machine.script("cat /opt/mailtls/files /usr/local/lib/systemd/system/mailtls*")
    machine.script(fault)
    gave, said = install(machine, source)
    assert gave == status
    assert ("the former one is back" in said) == (status == 4)
    assert "nothing_of_the_kind" in said or "mailtls-nothing" in machine.journal("mailtlsd")
    assert release(machine) == before
    assert machine.script("cat /opt/mailtls/files /usr/local/lib/systemd/system/mailtls*") == files
    assert machine.script("ls -d /opt/mailtls/releases/*").split() == [before]
    machine.until(machine.is_in_touch, "mailtlsd in touch with the keeper")


def test_settings_that_the_new_version_cannot_follow_are_said_before_anything_is_changed(machine: Machine, source: str) -> None:
    before = release(machine)
    machine.script("cp -p /etc/mailtls/mailtls.toml /var/lib/kept; echo nonsense >>/etc/mailtls/mailtls.toml")
    status, said = install(machine, source)
    machine.script("mv /var/lib/kept /etc/mailtls/mailtls.toml")
    assert status == 2
    assert "nothing was changed" in said
    assert "/etc/mailtls/mailtls.toml, line" in said
    assert release(machine) == before


def test_the_operators_files_and_wishes_stay(machine: Machine, source: str) -> None:
    machine.script(f"echo '# mine' >>{POLICIES}/strict.toml; systemctl stop mailtlsd; systemctl disable mailtlsd")
    for name in ("strict", "lenient"):
        machine.script(f"echo '# of the new version' >>{source}/policies/{name}.toml")
    assert "strict.toml is yours and stays" in install(machine, source)[1]
    assert machine.says("tail", "-n1", f"{POLICIES}/strict.toml") == "# mine"
    assert machine.says("tail", "-n1", f"{POLICIES}/strict.toml.new") == "# of the new version"
    assert machine.says("tail", "-n1", f"{POLICIES}/lenient.toml") == "# of the new version"
    assert not machine.is_active("mailtlsd")
    assert machine.run("systemctl", "is-enabled", "mailtlsd", check=False).stdout == "disabled\n"
    assert machine.is_active("mailtls-keeper")


def test_nothing_is_removed_while_postfix_still_reads_the_tables(machine: Machine) -> None:
    machine.script("cp -p /etc/postfix/main.cf /var/lib/kept")
    machine.script("postconf -e smtpd_discard_ehlo_keyword_address_maps=cidr:/etc/postfix/mailtls/discard.cidr")
    refused = machine.run("/opt/mailtls/uninstall", "--purge", check=False)
    machine.script("cat /var/lib/kept >/etc/postfix/main.cf")
    assert refused.returncode == 2
    assert "nothing was removed: /etc/postfix/main.cf still names /etc/postfix/mailtls" in refused.stderr
    assert machine.is_in_touch()


def test_only_root_installs(machine: Machine) -> None:
    refused = machine.run(f"{SOURCE}/scripts/install", check=False, user="nobody")
    assert (refused.returncode, refused.stderr) == (2, "install: only root can install it: sudo scripts/install\n")
