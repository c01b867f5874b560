#!/usr/bin/env python3
"""Compare `mailtlsctl probe` with testssl.sh and sslyze on the same server, and time all three.

    sudo benchmarks/probe.py [--testssl testssl] [--sslyze sslyze] [--service smtp|smtps|old]

A private Postfix on loopback, with an ECDSA and an RSA certificate and TLS 1.0 to 1.3, is asked by each. Versions,
suites by version, and the certificates' fingerprints must be the same; each difference is printed, and is exit
status 1. A program that is not there is left out. `old` is no Postfix, but a server of tlslite-ng with SSL 3.0,
TLS 1.0, RC4 and 3DES. Needs root and Postfix; the others come from their own sources.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from mailtls.core.ciphersuite import BY_NUMBER, name_of
from postfix.certificates import KeyType, make_certificate
from postfix.configuration import Settings
from postfix.instance import PrivatePostfix, why_not
from postfix.oldserver import old_server

PATIENCE_S = 900
_TESTSSL = {
    "SSLv2": "SSLv2", "SSLv3": "SSLv3", "TLS1": "TLSv1", "TLS1_1": "TLSv1.1", "TLS1_2": "TLSv1.2", "TLS1_3": "TLSv1.3",
}  # fmt: skip
_NUMBERS = {suite.name: number for number, suite in BY_NUMBER.items()}


@dataclass
class Findings:
    """What one program found: suites by version, as numbers, and the certificates."""

    suites: dict[str, set[int]] = field(default_factory=dict)
    certificates: set[str] = field(default_factory=set)


@dataclass
class Run:
    """One run: what it found, seconds on the clock and of processor time."""

    name: str
    found: Findings
    wall_s: float
    cpu_s: float


def timed(name: str, command: list[str], read: Callable[[str], Findings]) -> Run:
    """Run a program to its end."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL
    )
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(name, read(ran.stdout), wall, cpu)


def of_probe(output: str) -> Findings:
    """Read our own."""
    answer = json.loads(output)
    offered = [row for row in answer["versions"] if row["offered"]]
    suites = {row["version"]: {_NUMBERS[name] for name in row["ciphers"]} for row in offered}
    return Findings(suites, {row["sha256"] for row in answer["certificates"]})


def of_testssl(file: Path) -> Findings:
    """Read testssl.sh's flat JSON: one object per finding."""
    found = Findings()
    for each in json.loads(file.read_text()):
        identity, words = each["id"], each["finding"]
        if identity in _TESTSSL and words.startswith("offered"):
            found.suites.setdefault(_TESTSSL[identity], set())
        if match := re.match(r"cipher-(tls1(?:_\d)?|ssl[23]v?)_x([0-9a-f]+)$", identity):
            old = {"tls1": "TLSv1", "ssl3": "SSLv3", "ssl2": "SSLv2"}
            version = old.get(match[1]) or _TESTSSL.get(match[1].upper(), match[1])
            found.suites.setdefault(version, set()).add(int(match[2], 16))
        if identity.startswith("cert_fingerprintSHA256"):
            found.certificates.add(words.lower())
    return found


def of_sslyze(file: Path) -> Findings:
    """Read sslyze's JSON."""
    result: dict[str, Any] = json.loads(file.read_text())["server_scan_results"][0]["scan_result"]
    found = Findings()
    for key, version in (("ssl_2_0", "SSLv2"), ("ssl_3_0", "SSLv3"), ("tls_1_0", "TLSv1"), ("tls_1_1", "TLSv1.1"),
                         ("tls_1_2", "TLSv1.2"), ("tls_1_3", "TLSv1.3")):  # fmt: skip
        taken = result[f"{key}_cipher_suites"]["result"]["accepted_cipher_suites"]
        if taken:
            names = (each["cipher_suite"]["openssl_name"] for each in taken)
            found.suites[version] = {_NUMBERS[name] for name in names}
    for deployment in result["certificate_info"]["result"]["certificate_deployments"]:
        pem = deployment["received_certificate_chain"][0]["as_pem"]
        found.certificates.add(digest(pem))
    return found


def digest(pem: str) -> str:
    """Give the SHA-256 of a certificate."""
    import hashlib
    import ssl

    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def differences(ours: Findings, theirs: Findings) -> list[str]:
    """Say where two disagree."""
    said = []
    for version in sorted(ours.suites.keys() | theirs.suites.keys()):
        mine, other = ours.suites.get(version, set()), theirs.suites.get(version, set())
        for word, numbers in (("only we", mine - other), ("only they", other - mine)):
            if numbers:
                said.append(f"{version}: {word} find {', '.join(map(name_of, sorted(numbers)))}")
    if ours.certificates != theirs.certificates:
        said.append(f"certificates: {sorted(ours.certificates)} and {sorted(theirs.certificates)}")
    return said


def runs(port: int, service: str, options: argparse.Namespace, place: Path) -> list[Run]:
    """Let each program that is there look at the server."""
    where = f"127.0.0.1:{port}"
    ours = [sys.executable, "-m", "mailtls.ctl", "probe", where, "--service", service, "--json"]
    found = [timed("probe --delay 0", [*ours, "--delay", "0"], of_probe), timed("probe", ours, of_probe)]
    starttls = service == "smtp"
    if (sslyze := shutil.which(options.sslyze)) is not None:
        file = place / "sslyze.json"
        more = ["--starttls=smtp"] if starttls else []
        command = [sslyze, *more, f"--json_out={file}", where]
        found.append(timed("sslyze", command, lambda _: of_sslyze(file)))
    if (testssl := shutil.which(options.testssl)) is not None:
        file = place / "testssl.json"
        more = ["--starttls", "smtp"] if starttls else []
        command = [testssl, "--openssl", "/usr/bin/openssl", "--warnings", "off", "--color", "0",
                   "--jsonfile", str(file), *more, "-p", "-E", "-S", "-P", where]  # fmt: skip
        found.append(timed("testssl.sh -p -E -S -P", command, lambda _: of_testssl(file)))
    return found


def main() -> int:
    """Compare, print, and tell whether all agreed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--testssl", default="testssl")
    parser.add_argument("--sslyze", default="sslyze")
    parser.add_argument("--service", choices=("smtp", "smtps", "old"), default="smtp")
    options = parser.parse_args()
    if (reason := why_not()) is not None:
        print(f"not run: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as place:
        if options.service == "old":
            with old_server(make_certificate(Path(place), KeyType.RSA), ["rc4", "3des", "aes128"]) as server:
                found = runs(server.port, "smtp", options, Path(place))
        else:
            settings = Settings(key_types=(KeyType.ECDSA, KeyType.RSA), protocols=">=TLSv1")
            with PrivatePostfix(settings) as postfix:
                found = runs(postfix.ports[options.service], options.service, options, Path(place))
    disagree = False
    for run in found:
        suites = sum(map(len, run.found.suites.values()))
        print(f"{run.name:<24}{run.wall_s:7.1f} s, {run.cpu_s:6.2f} s processor; {len(run.found.suites)} versions, "
              f"{suites} suites, {len(run.found.certificates)} certificates")  # fmt: skip
        for line in differences(found[0].found, run.found):
            disagree = True
            print(f"    {line}")
    return 1 if disagree else 0


if __name__ == "__main__":
    sys.exit(main())
