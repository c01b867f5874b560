"""mailtlsd and the keeper under systemd: ready, alive, reloaded, stopped, killed; and what they may not do."""

from __future__ import annotations

import time

import pytest
from tests.system.machine import Machine
from tests.system.setup import follow

DAEMON, KEEPER, OBSERVER = "mailtlsd.service", "mailtls-keeper.service", "mailtls-observer.service"
MILTER = "mailtls-milter.service"
MOST_EXPOSED = {
    DAEMON: 1.5, KEEPER: 3.0, "mailtls-tables.service": 3.0, "mailtls-expire.service": 3.0,
    "mailtls-gateway.service": 1.0, "mailtls-backend.service": 1.0, "mailtls-observer.service": 1.3,
    "mailtls-milter.service": 1.0,
}  # fmt: skip
"""As `systemd-analyze security` counts, of 10; the others change Postfix's configuration, and start Postfix's programs."""
MOST_EXPOSED_OTHERS = 4.0
STOPS_WITHIN_S = 5.0
NOBODYS = "192.0.2.7"
HOSTS = "lmdb:/etc/postfix/mailtls/discard"


def allow(machine: Machine, peer: str = NOBODYS, lasts: str = "1h") -> None:
    machine.run("mailtlsctl", "allow-legacy", peer, "--level", "cleartext", "--for", lasts, "--reason", "a test")


def looked_up(machine: Machine, peer: str = NOBODYS) -> str:
    return machine.run("postmap", "-q", peer, HOSTS, check=False).stdout.strip()


# --- the files ---------------------------------------------------------------------------------------------------


def units(machine: Machine) -> list[str]:
    """The files of all units that were installed."""
    return machine.script("ls /usr/local/lib/systemd/system/mailtls*").split()


def test_systemd_has_nothing_to_say_of_the_units(machine: Machine) -> None:
    assert len(units(machine)) > len(MOST_EXPOSED)
    result = machine.run("systemd-analyze", "verify", "--man=no", *units(machine), check=False)
    assert result.stdout + result.stderr == ""
    assert result.returncode == 0


def test_the_manual_page_that_a_unit_names_is_there(machine: Machine) -> None:
    named = {machine.shows(path.rpartition("/")[2], "Documentation").strip('"') for path in units(machine)}
    assert "man:mailtlsctl(1)" in named
    for page in named:
        name, section = page.removeprefix("man:").removesuffix(")").split("(")
        assert machine.exists(f"/usr/local/share/man/man{section}/{name}.{section}")


def test_none_may_do_more_than_it_must(machine: Machine) -> None:
    exposed = {path: most_exposed(path) for path in units(machine) if path.endswith(".service")}
    assert {path for path, most in exposed.items() if not is_below(machine, path, most)} == set()
    assert not is_below(machine, next(iter(exposed)), 0.1), "systemd counts"


def most_exposed(path: str) -> float:
    return MOST_EXPOSED.get(path.rpartition("/")[2], MOST_EXPOSED_OTHERS)


def is_below(machine: Machine, path: str, most: float) -> bool:
    command = ("systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={10 * most:.0f}", path)
    return machine.run(*command, check=False).returncode == 0


def test_everything_belongs_to_whom_it_must(machine: Machine) -> None:
    expected = {
        "/etc/postfix/mailtls": "root root 755",
        "/etc/postfix/mailtls/discard.lmdb": "root root 644",
        "/etc/postfix/mailtls/discard.cidr": "root root 644",
        "/etc/mailtls/policies": "root root 755",
        "/var/lib/mailtls": "mailtls mailtls 750",
        "/var/lib/mailtls/mailtls.db": "mailtls mailtls 600",
        "/var/lib/mailtls-keeper": "root root 700",
        "/run/mailtls": "mailtls mailtls-admin 2755",
        "/run/mailtls/control.sock": "mailtls mailtls-admin 660",
        "/run/mailtls/milter": "mailtls mailtls-milter 2750",
        "/run/mailtls/milter/facts.sock": "mailtls mailtls-milter 660",
        "/run/mailtls/milter/verdicts": "mailtls mailtls-milter 640",
        "/var/spool/postfix/mailtls": "root root 755",
        "/var/spool/postfix/mailtls/policy": "root postfix 660",
        "/run/mailtls-keeper": "root root 755",
        "/run/mailtls-observer": "mailtls mailtls-hellos 2710",
        "/run/mailtls-observer/hellos.sock": "mailtls mailtls-hellos 660",
        "/run/mailtls-keeper/keeper.sock": "mailtls mailtls-admin 660",
    }
    assert {path: machine.says("stat", "-c", "%U %G %a", path) for path in expected} == expected
    assert "mailtls-admin" not in machine.says("id", "-nG", "mailtls").split()


def test_a_member_of_the_admins_may_ask_and_act_and_others_may_not(machine: Machine) -> None:
    machine.script("useradd alice; useradd mallory; gpasswd -a alice mailtls-admin")
    for words in (("status",), ("peers",), ("revoke", NOBODYS)):
        refused = machine.run("mailtlsctl", *words, check=False, user="mallory")
        assert refused.returncode == 3
        assert "run this as root, or as a member of the operators' group" in refused.stderr
    machine.run("mailtlsctl", "status", user="alice")
    machine.run("mailtlsctl", "allow-legacy", NOBODYS, "--level", "cleartext", "--reason", "a test", user="alice")
    assert machine.control("waivers")["waivers"][0]["owner"] == "alice"


# --- what they may not do ----------------------------------------------------------------------------------------


def test_mailtlsd_has_no_power(machine: Machine) -> None:
    status = status_of(machine, DAEMON)
    assert status["Uid"].split() == [machine.says("id", "-u", "mailtls")] * 4
    assert [status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")] == ["0" * 16] * 4
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_the_keeper_is_root_with_three_capabilities(machine: Machine) -> None:
    """CAP_NET_ADMIN in the machine's own network: nftables there leads to the doors."""
    status = status_of(machine, KEEPER)
    assert status["Uid"].split() == ["0"] * 4
    chown, dac_read_search, net_admin = 1 << 0, 1 << 2, 1 << 12
    assert int(status["CapBnd"], 16) == chown | dac_read_search | net_admin
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    pid = machine.shows(KEEPER, "MainPID")
    assert machine.says("readlink", f"/proc/{pid}/ns/net") == machine.says("readlink", "/proc/1/ns/net")


def test_the_observer_runs_when_it_is_asked_for_and_can_do_nothing_but_see(machine: Machine) -> None:
    """It is installed, and neither enabled nor started; started, it has given up its one capability."""
    assert not machine.is_active(OBSERVER)
    machine.run("systemctl", "start", OBSERVER)
    try:
        status = status_of(machine, OBSERVER)
        assert [status[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")] == ["0" * 16] * 4
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert status["Uid"].split()[0] not in ("0", machine.says("id", "-u", "mailtls"))
        machine.until(lambda: hears_the_observer(machine), "mailtlsd hears the observer")
        machine.run("python3", "-c", CLIENT_HELLO)
        machine.until(lambda: machine.control("status")["mailtlsd"]["observer"]["hellos"] > 0, "a hello is seen")
    finally:
        machine.run("systemctl", "stop", OBSERVER)


def test_the_milter_runs_when_it_is_asked_for_hears_of_mail_and_mail_needs_it_not(machine: Machine) -> None:
    """It is installed, and neither enabled nor started; Postfix is told of it only while it runs."""
    assert not machine.is_active(MILTER)
    assert "systemctl enable --now mailtls-milter" in machine.run("mailtlsctl", "setup", "--milter", check=False).stderr
    try:
        follow(machine, "2.", mark="sh milter")
        status = status_of(machine, MILTER)
        assert [status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")] == ["0" * 16] * 4
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert status["Uid"].split() == [machine.says("id", "-u", "mailtls-milter")] * 4
        place = "/var/spool/postfix/mailtls/milter"
        assert machine.says("stat", "-c", "%U %G %a", place, f"{place}/socket").splitlines() == [
            "mailtls-milter postfix 2750", "mailtls-milter postfix 770",
        ]  # fmt: skip
        machine.run("python3", "-c", MAIL)
        machine.until(lambda: counted(machine, 'mailtls_milter_parcels_total{kind="taken"}') == 1, "mailtlsd hears of it")
        assert machine.run("postfix", "check").stderr == ""
        machine.run("systemctl", "stop", MILTER)
        machine.run("python3", "-c", MAIL)
        assert counted(machine, 'mailtls_milter_parcels_total{kind="taken"}') == 1
    finally:
        machine.run("mailtlsctl", "unsetup", "--now", check=False)
        machine.run("systemctl", "disable", "--now", MILTER)


def counted(machine: Machine, name: str) -> float:
    """Give a value of /metrics."""
    page = machine.says("python3", "-c", METRICS)
    return next(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name))


def hears_the_observer(machine: Machine) -> bool:
    observer = machine.control("status")["mailtlsd"]["observer"]
    return bool(observer and observer["running"])


WRITABLE = {
    (DAEMON, "/var/lib/mailtls"): True,
    (DAEMON, "/run/mailtls"): True,
    (DAEMON, "/etc/postfix/mailtls"): False,
    (DAEMON, "/var/lib/mailtls-keeper"): False,
    (DAEMON, "/etc/mailtls"): False,
    (DAEMON, "/var/log"): False,
    (KEEPER, "/var/lib/mailtls-keeper"): True,
    (KEEPER, "/run/mailtls-keeper"): True,
    (KEEPER, "/etc/postfix/mailtls"): True,
    (KEEPER, "/etc/postfix"): False,
    (KEEPER, "/etc/mailtls"): False,
    (KEEPER, "/var/lib/mailtls"): False,
    (KEEPER, "/usr/local/bin"): False,
}


def test_each_writes_only_where_it_must(machine: Machine) -> None:
    """As the kernel sees it: with the mounts of the process, and for mailtlsd its user as well."""
    assert {(unit, path): can_write(machine, unit, path) for unit, path in WRITABLE} == WRITABLE


def can_write(machine: Machine, unit: str, path: str) -> bool:
    user = ["setpriv", "--reuid=mailtls", "--regid=mailtls", "--clear-groups"] if unit == DAEMON else []
    inside = ["nsenter", "-t", machine.shows(unit, "MainPID"), "-m", *user]
    return machine.run(*inside, "touch", f"{path}/trial", check=False).returncode == 0


def status_of(machine: Machine, unit: str) -> dict[str, str]:
    lines = machine.says("cat", f"/proc/{machine.shows(unit, 'MainPID')}/status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


# --- their life --------------------------------------------------------------------------------------------------


def test_both_are_ready_say_how_they_fare_and_stay_up(machine: Machine) -> None:
    for unit in (DAEMON, KEEPER):
        assert machine.shows(unit, "Type") == "notify"
        assert machine.shows(unit, "ActiveState") == "active"
        assert "waivers" in machine.shows(unit, "StatusText")
    status = machine.control("status")
    assert status["mailtlsd"]["keeper"]
    assert status["mailtlsd"]["remembers"]
    assert status["mailtlsd"]["faults"] == []
    assert status["keeper"]["faults"] == []


MAIL = """
import smtplib
with smtplib.SMTP("127.0.0.1", 25) as client:
    client.sendmail("a@peer.test", ["root@mx.example.test"], "Subject: a test\\n\\ntest")
"""

METRICS = """
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9811/metrics").read().decode())
"""

CLIENT_HELLO = """
import smtplib, ssl
client = smtplib.SMTP("127.0.0.1", 25)
try:
    client.starttls(context=ssl._create_unverified_context())
except (smtplib.SMTPException, OSError):
    pass
client.close()
"""

SYSLOG = """
import sys, syslog
syslog.openlog("postfix/smtpd", syslog.LOG_PID, syslog.LOG_MAIL)
for line in sys.argv[1:]: syslog.syslog(syslog.LOG_INFO, line)
"""


def log(machine: Machine, ip: str) -> None:
    """Say to syslog what Postfix says of a session."""
    peer = f"mx.example.org[{ip}]"
    lines = (f"connect from {peer}", f"disconnect from {peer} ehlo=1 quit=1 commands=2")
    machine.run("python3", "-c", SYSLOG, *lines)


def is_known(machine: Machine, ip: str) -> bool:
    return ip in {peer["ip"] for peer in machine.control("peers")["peers"]}


def test_mailtlsd_reads_the_log_that_only_group_adm_may_read(machine: Machine) -> None:
    assert machine.says("stat", "-c", "%U %G %a", "/var/log/mail.log") == "root adm 640"
    log(machine, "192.0.2.9")
    machine.until(lambda: is_known(machine, "192.0.2.9"), "a peer from the log")


def test_mailtlsd_reads_the_journal_also_what_was_logged_before_a_reboot(machine: Machine) -> None:
    """systemd 252 compares with the boot id that it sees in /proc, which in a container is the host's for a sandbox."""
    machine.script("cp /etc/mailtls/mailtls.toml /var/tmp/kept")
    machine.write("/etc/mailtls/mailtls.toml", "[log]\nfiles = []\njournal = true\n")
    machine.run("systemctl", "restart", DAEMON)
    try:
        assert [source["source"] for source in machine.control("status")["mailtlsd"]["sources"]] == ["journal"]
        log(machine, "192.0.2.10")
        machine.until(lambda: is_known(machine, "192.0.2.10"), "a peer from the journal", 10)
        machine.run("systemctl", "stop", DAEMON)
        log(machine, "192.0.2.11")
        machine.reboot()
        machine.until(machine.is_in_touch, "mailtlsd in touch with the keeper")
        machine.until(lambda: is_known(machine, "192.0.2.11"), "a peer from the journal of the last boot", 10)
    finally:
        machine.script("cat /var/tmp/kept >/etc/mailtls/mailtls.toml; systemctl restart mailtlsd")


def test_prometheus_is_answered(machine: Machine) -> None:
    assert page(machine, "/-/healthy") == "mailtlsd is well.\n"
    assert "\nmailtls_waivers{" in page(machine, "/metrics")


def page(machine: Machine, path: str) -> str:
    fetch = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:9811{path}').read().decode(), end='')"
    return machine.run("python3", "-c", fetch).stdout


def test_a_broken_policy_is_refused_at_reload_and_the_former_one_stays(machine: Machine) -> None:
    policy = "/etc/mailtls/policies/default.toml"
    pids = [machine.shows(unit, "MainPID") for unit in (DAEMON, KEEPER)]
    machine.script(f"cp {policy} /var/tmp/kept; echo 'actoin = \"ignore\"' >>{policy}")
    machine.run("systemctl", "reload", DAEMON, KEEPER)
    machine.until(lambda: "policy" in faults(machine, "mailtlsd"), "mailtlsd says what is wrong with the policy")
    machine.until(lambda: "policy" in faults(machine, "keeper"), "the keeper says what is wrong with the policy")
    assert "actoin" in faults(machine, "mailtlsd")["policy"]
    allow(machine)
    machine.script(f"cat /var/tmp/kept >{policy}")
    machine.run("systemctl", "reload", DAEMON, KEEPER)
    for who in ("mailtlsd", "keeper"):
        machine.until(lambda who=who: faults(machine, who) == {}, f"{who} is content")  # type: ignore[misc]
    assert pids == [machine.shows(unit, "MainPID") for unit in (DAEMON, KEEPER)]


def faults(machine: Machine, who: str) -> dict[str, str]:
    return {fault["kind"]: fault["sentence"] for fault in machine.control("status")[who]["faults"]}


def test_a_policy_that_is_broken_at_the_start_is_one_sentence_and_no_endless_starting(machine: Machine) -> None:
    machine.script(
        "systemctl stop mailtlsd; cd /etc/mailtls/policies; cp default.toml /var/tmp/kept; echo x >default.toml"
    )
    assert machine.run("systemctl", "start", DAEMON, check=False).returncode != 0
    assert machine.shows(DAEMON, "ActiveState") == "failed"
    assert machine.shows(DAEMON, "NRestarts") == "0"
    assert machine.run("mailtlsd", "--check", check=False).returncode == 2
    machine.script("cat /var/tmp/kept >/etc/mailtls/policies/default.toml")
    said = machine.journal(DAEMON)
    assert "/etc/mailtls/policies/default.toml, line 1" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("unit", [DAEMON, KEEPER])
def test_each_stops_cleanly_within_five_seconds_and_leaves_no_socket(machine: Machine, unit: str) -> None:
    allow(machine)
    began = time.monotonic()
    machine.run("systemctl", "stop", unit)
    assert time.monotonic() - began < STOPS_WITHIN_S
    assert (machine.shows(unit, "Result"), machine.shows(unit, "ExecMainStatus")) == ("success", "0")
    assert "Traceback" not in machine.journal(unit)
    assert looked_up(machine) == "starttls"


POLICY_SOCKET = "/var/spool/postfix/mailtls/policy"
ASK = f"""
import socket
with socket.socket(socket.AF_UNIX) as asking:
    asking.settimeout(20)
    asking.connect("{POLICY_SOCKET}")
    asking.sendall(b"request=smtpd_access_policy\\nprotocol_state=DATA\\nclient_address=192.0.2.7\\n\\n")
    print(asking.recv(100))
"""


def answer(machine: Machine, user: str = "postfix") -> str:
    """Ask the policy service, as a user of this machine."""
    return machine.run("python3", "-c", ASK, check=False, user=user).stdout.strip()


def test_postfix_and_nobody_else_may_ask_about_messages(machine: Machine) -> None:
    assert answer(machine) == "b'action=DUNNO\\n\\n'"
    assert answer(machine, "nobody") == ""


def test_the_policy_service_comes_and_goes_with_mailtlsd(machine: Machine) -> None:
    machine.run("systemctl", "stop", DAEMON)
    assert not machine.exists(POLICY_SOCKET), "a message would start mailtlsd again"
    assert not machine.is_active("mailtls-policy.socket")
    machine.run("systemctl", "start", DAEMON)
    assert answer(machine) == "b'action=DUNNO\\n\\n'"
    machine.run("systemctl", "restart", DAEMON)
    assert answer(machine) == "b'action=DUNNO\\n\\n'"
    killed(machine, DAEMON, "KILL")
    machine.until(lambda: answer(machine) == "b'action=DUNNO\\n\\n'", "mailtlsd answers again")


@pytest.mark.parametrize("unit", [DAEMON, KEEPER])
def test_each_is_there_again_after_kill_9_and_knows_what_it_knew(machine: Machine, unit: str) -> None:
    allow(machine)
    killed(machine, unit, "KILL")
    assert looked_up(machine) == "starttls"
    machine.until(machine.is_in_touch, "mailtlsd is in touch with the keeper")
    assert [waiver["network"] for waiver in machine.control("waivers")["waivers"]] == [NOBODYS]


def killed(machine: Machine, unit: str, how: str) -> None:
    """Send a signal that ends or stops it, and wait for its successor."""
    before = machine.shows(unit, "MainPID")
    machine.run("systemctl", "kill", "-s", how, unit)
    machine.until(lambda: machine.shows(unit, "MainPID") not in ("0", before) and machine.is_active(unit), "a restart")


@pytest.mark.parametrize("unit", [DAEMON, KEEPER])
def test_each_is_started_again_when_it_hangs(machine: Machine, unit: str) -> None:
    machine.write(f"/run/systemd/system/{unit}.d/patience.conf", "[Service]\nWatchdogSec=2\n")
    machine.script(f"systemctl daemon-reload; systemctl restart {unit}")
    assert machine.shows(unit, "WatchdogUSec") == "2s"
    killed(machine, unit, "STOP")
    assert "Watchdog timeout" in machine.journal(unit)
    machine.script(f"rm -r /run/systemd/system/{unit}.d; systemctl daemon-reload")


def test_a_busy_minute_does_not_end_in_giving_up(machine: Machine) -> None:
    """systemd's own limit of five starts in ten seconds would leave nobody there."""
    for _ in range(7):
        killed(machine, DAEMON, "KILL")


# --- waivers end, and tables are there, whatever is dead ---------------------------------------------------------


def test_a_waiver_ends_when_both_are_dead(machine: Machine) -> None:
    allow(machine, "192.0.2.8")
    for seconds in (4, 16, 64):  # as long as it takes to stop both on this machine
        allow(machine, lasts=f"{seconds}s")
        machine.run("systemctl", "stop", "mailtls-expire.timer", DAEMON, KEEPER)
        if looked_up(machine):
            break
        machine.run("systemctl", "start", KEEPER)
    assert looked_up(machine) == "starttls"
    machine.until(lambda: expired_once(machine), "the end of the waiver")
    assert looked_up(machine, "192.0.2.8") == "starttls"


def expired_once(machine: Machine) -> bool:
    machine.run("systemctl", "start", "mailtls-expire.service")
    return looked_up(machine) == ""


def test_the_timer_comes_every_minute(machine: Machine) -> None:
    assert machine.is_active("mailtls-expire.timer")
    assert machine.shows("mailtls-expire.timer", "AccuracyUSec") == "1s"
    assert "OnCalendar=*-*-* *:*:00" in machine.shows("mailtls-expire.timer", "TimersCalendar")


def test_tables_are_made_before_postfix_starts(machine: Machine) -> None:
    postfix = "postfix@-.service" if machine.is_active("postfix@-.service") else "postfix.service"
    assert "mailtls-tables.service" in machine.shows(postfix, "After").split()
    machine.script("systemctl stop mailtls-keeper postfix; rm -r /etc/postfix/mailtls")
    machine.run("systemctl", "restart", "mailtls-tables.service")
    assert machine.run("postmap", "-q", NOBODYS, HOSTS, check=False).stderr == ""
    assert machine.says("stat", "-c", "%U %G %a", "/etc/postfix/mailtls") == "root root 755"
