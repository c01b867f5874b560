"""The gateway under systemd: made by setup, reached by nobody but its peers, and reaching nothing but its backend."""

from __future__ import annotations

import base64
import io
import json
import sys
import tarfile
from pathlib import Path

from tests.system.machine import Machine
from tests.system.site import HERE, MODERN, OLD, connect, harden, send
from tests.system.test_installed import install, let_in, serving

GATEWAY, BACKEND = "mailtls-gateway.service", "mailtls-backend.service"
TLSLITE = "/opt/tlslite"
SENDER = f"""
import socket, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, "{TLSLITE}")
from tlslite.handshakesettings import HandshakeSettings
from tlslite.tlsconnection import TLSConnection
wire = socket.create_connection(("{HERE}", 25), 30, (sys.argv[1], 0))
def say(to, words):
    to.sendall(words.encode() + b"\\r\\n")
    return hear(to)
def hear(to):
    line = b""
    while not line.endswith(b"\\n") or line.rsplit(b"\\n", 2)[-2][3:4] == b"-":
        piece = to.recv(1)
        if not piece:
            sys.exit("closed")
        line += piece
    return line.decode()
hear(wire)
say(wire, "EHLO scanner.example")
if not say(wire, "STARTTLS").startswith("220"):
    sys.exit("no STARTTLS")
settings = HandshakeSettings()
settings.minVersion = settings.maxVersion = (3, 0)
settings.cipherNames, settings.macNames = ["rc4"], ["sha", "md5"]
secured = TLSConnection(wire)
try:
    secured.handshakeClientCert(settings=settings)
except Exception as error:
    sys.exit(f"no handshake: {{error}}")
say(secured, "EHLO scanner.example")
for words in ("MAIL FROM:<scanner@example.org>", "RCPT TO:<root@mx.example.test>", "DATA"):
    answer = say(secured, words)
    if answer[0] not in "23":
        sys.exit(answer)
print(say(secured, "Subject: a scan\\r\\n\\r\\nfrom a scanner\\r\\n."))
"""
REACHED = """
import json, os, socket, sys
reached = []
for path in json.loads(sys.argv[1]):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_UNIX, kind) as client:
            try:
                client.connect(path)
                reached.append(path)
            except OSError:
                pass
for port in (25, 53, 9811):
    with socket.socket() as client:
        client.settimeout(1)
        try:
            client.connect(("127.0.0.1", port))
            reached.append(port)
        except OSError:
            pass
print(json.dumps(reached))
"""


def bring_tlslite(machine: Machine) -> None:
    """Pack the pure Python client of the tests for the machine, which has none."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("tlslite", "ecdsa", "six.py"):
            place = next((Path(each, name) for each in sys.path if Path(each, name).exists()), None)
            if place is not None:
                archive.add(place, name, filter=lambda member: None if "__pycache__" in member.name else member)
    unpack = f"mkdir -p {TLSLITE} && base64 -d | tar -xz -C {TLSLITE}"
    machine.run("sh", "-c", unpack, text=base64.b64encode(packed.getvalue()).decode())


def scan(machine: Machine) -> tuple[int, str]:
    """Let a scanner that knows SSLv3 with RC4 only send a message; give its exit status and its words."""
    ran = machine.run("ip", "netns", "exec", "strangers", "python3", "-c", SENDER, OLD, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def test_a_scanner_is_let_in_by_a_unit_that_reaches_nothing_else(any_bare: Machine) -> None:
    machine = any_bare
    harden(machine)
    bring_tlslite(machine)
    install(machine)
    assert scan(machine)[0] == 1
    assert "take it for readable" in " ".join(let_in(machine, OLD, level="sslv3").split())
    status, said = scan(machine)
    assert status == 0, said
    machine.until(lambda: is_logged(machine, f"mailtls-backend/smtpd.*client=unknown.{OLD}"), "its address in Postfix's log")
    machine.until(lambda: is_logged(machine, "mailtls-sslv3/tlsproxy.*: SSLv3 with cipher RC4-SHA"), "the gateway's line")
    machine.until(lambda: versions(machine) == ["SSLv3"], "mailtlsd has seen it")

    reaches_only_its_backend(machine)

    machine.run("systemctl", "kill", "-s", "KILL", GATEWAY)
    machine.until(lambda: machine.is_active(GATEWAY), "it is started again")
    machine.until(lambda: scan(machine)[0] == 0, "the scanner is let in again")
    machine.reboot()
    connect(machine)
    machine.until(machine.is_in_touch, "mailtlsd in touch with the keeper")
    machine.until(lambda: "sslv3" in serving(machine), "the door serves after a reboot")
    assert scan(machine)[0] == 0

    machine.run("mailtlsctl", "unsetup", "--now")
    assert not machine.is_active("mailtls-gateway.socket")
    assert not machine.is_active("mailtls-backend.socket")
    assert machine.shows("mailtls-gateway.socket", "UnitFileState") == "disabled"
    assert not machine.exists("/etc/mailtls/doors")
    assert send(machine, MODERN).tls == "TLSv1.3"


def is_logged(machine: Machine, pattern: str) -> bool:
    return machine.run("grep", "-q", pattern, "/var/log/mail.log", check=False).returncode == 0


def versions(machine: Machine) -> list[str]:
    return [each["tls_version"] for each in machine.control("peers", OLD)["peers"]]


def reaches_only_its_backend(machine: Machine) -> None:
    """Tried with the unit's user, groups, files and network, for every socket that there is."""
    for unit in (GATEWAY, BACKEND):
        assert machine.shows(unit, "ActiveState") == "active", "what is only starting is ended when its patience is over"
        pid = machine.shows(unit, "MainPID")
        lines = machine.says("cat", f"/proc/{pid}/status").splitlines()
        status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
        assert [status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")] == [["0" * 16]] * 4
        assert (status["NoNewPrivs"], status["Seccomp"], "0" in status["Uid"]) == (["1"], ["2"], False)
        inside = machine.says("nsenter", "-t", pid, "-n", "ip", "-o", "link").splitlines()
        assert len(inside) == 1 and "lo:" in inside[0]
    pid = machine.shows(GATEWAY, "MainPID")
    lines = machine.says("cat", f"/proc/{pid}/status").splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    who = (f"--reuid={status['Uid'][1]}", f"--regid={status['Gid'][1]}", f"--groups={','.join(status['Groups'])}")
    sockets = machine.script("find /var/spool/postfix /run -type s 2>/dev/null || :").split()
    assert "/var/spool/postfix/public/mailtls-sslv3" in sockets
    assert "/var/spool/postfix/public/cleanup" in sockets
    tried = ("python3", "-c", REACHED, json.dumps(sockets))
    reached = json.loads(machine.says("nsenter", "-t", pid, "-m", "-n", "setpriv", *who, *tried))
    ours = [each for each in reached if not str(each).startswith(("/run/systemd/", "/run/dbus/"))]
    assert ours == ["/run/mailtls-gateway/backend.sock"]
    assert "/var/spool/postfix/public/cleanup" in json.loads(machine.says(*tried)), "root would have reached it"
