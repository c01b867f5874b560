"""A Debian to boot: made once with debootstrap, kept where scripts/test keeps what it made, never written to again.

By default it is of the release that this machine runs, so that the packages that were installed for the tests fit its
Python. Debian 13 can be booted on Debian 12 as well: it has in packages all that mailtls runs on. The mirror is the one
that this machine's apt uses.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = "ca-certificates,dbus,iproute2,nftables,python3,python3-venv,rsyslog,systemd,systemd-sysv"
LATER = "libnss3 openssl postfix postfix-lmdb python3-dnspython python3-milter ssl-cert"  # need debconf's answers, and a machine that starts nothing
PYTHON = {  # what scripts/install asks for, where Debian has it
    "trixie": "python3-pydantic python3-typer python3-rich python3-sqlalchemy python3-greenlet python3-aiosqlite"
    " python3-prometheus-client",
}
INSTALL = """
set -e
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
echo 'postfix postfix/main_mailer_type select Internet Site' | debconf-set-selections
echo 'postfix postfix/mailname string mx.example.test' | debconf-set-selections
apt-get -q -y --no-install-recommends install $later
postconf -e smtpd_tls_security_level=may \\
    smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem smtpd_tls_key_file=/etc/ssl/private/ssl-cert-snakeoil.key
apt-get clean
rm -rf /usr/sbin/policy-rc.d /var/lib/apt/lists/*
echo mx >/etc/hostname
echo '127.0.0.1 localhost mx.example.test mx' >/etc/hosts
"""
NSPAWN = ["systemd-nspawn", "-q", "--register=no", "--resolv-conf=off", "--capability=all"]
if not Path("/run/systemd/system").exists():
    NSPAWN.append("--keep-unit")  # no systemd here whom it could ask for a unit
MAKING_S = 900.0


class NoTreeError(Exception):
    """No Debian can be made or booted here; the text says why."""


def debian_tree(wanted: str | None = None) -> Path:
    """Give a tree of this suite, or of this machine's own, that can be booted; it is made where it is missing.

    Raises NoTreeError.
    """
    if os.geteuid() != 0:
        raise NoTreeError("only root boots machines")
    for program, package in {"systemd-nspawn": "systemd-container", "setpriv": "util-linux"}.items():
        if shutil.which(program) is None:
            raise NoTreeError(f"{program} is not installed (Debian package {package})")
    own = own_suite()
    if not own:
        raise NoTreeError("this machine is no Debian")
    suite = wanted or own
    place = place_of(suite)
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            _make(place, suite)
    _try(place / "tree", same_python=suite not in PYTHON)
    return place / "tree"


def is_made(suite: str) -> bool:
    """Tell whether a tree of this suite was made before."""
    return (place_of(suite) / "complete").exists()


def place_of(suite: str) -> Path:
    """Where a tree of this suite is kept: another list of packages makes another tree."""
    key = hashlib.sha256(f"{PACKAGES} {_later(suite)} {INSTALL}".encode()).hexdigest()[:12]
    return _cache() / f"system-{suite}-{key}"


def has_packages(tree: Path) -> bool:
    """Tell whether all that mailtls runs on is there in packages of Debian."""
    return (tree / "usr/lib/python3/dist-packages/pydantic").exists()


def own_suite() -> str:
    """The release that this machine runs; empty where it is no Debian."""
    return _release().get("VERSION_CODENAME", "") if _release().get("ID") == "debian" else ""


def _later(suite: str) -> str:
    return f"{LATER} {PYTHON.get(suite, '')}".strip()


def on_a_copy(tree: Path, disk: Path, *options: str) -> list[str]:
    """Give the command that enters a machine on a copy of the tree, in memory; `disk`: an empty directory for it.

    The copy is mounted in a namespace of the command's own, so that nothing is left of it; and whatever ends the tests
    ends the machine: systemd-nspawn powers it off when it gets SIGTERM.
    """
    steps = (
        'mount -t tmpfs -o mode=755 tmpfs "$1" && mkdir "$1/upper" "$1/work" "$1/root" && '
        'mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" overlay "$1/root" && '
        'cd "$1/root" && shift 2 || exit 1\n'
        # 133: the machine wants to be booted again (systemd-nspawn with --keep-unit)
        'while :; do setpriv --pdeathsig TERM "$@"; status=$?; [ $status = 133 ] || exit $status; done'
    )
    name = f"--machine={disk.parent.name.replace('_', 'x')}"
    shell = ["setpriv", "--pdeathsig", "TERM", "unshare", "-m", "sh", "-c", steps, "sh", str(disk), str(tree)]
    return [*shell, *NSPAWN, "-D", ".", name, *options]


def _make(place: Path, suite: str) -> None:
    if shutil.which("debootstrap") is None:
        raise NoTreeError("debootstrap is not installed")
    if place.exists():
        shutil.rmtree(place)
    place.mkdir()
    tree = place / "tree"
    _done(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(tree), _mirror()], place / "log")
    for name in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):
        if Path("/", name).exists():
            shutil.copyfile(Path("/", name), tree / name)
    _done([*NSPAWN, "-D", str(tree), "sh", "-c", f"later='{_later(suite)}'\n{INSTALL}"], place / "log")
    (place / "complete").touch()


def _try(tree: Path, *, same_python: bool) -> None:
    """See whether a machine can be entered here, with this Python where the tests' own packages are lent to it."""
    version = "" if not same_python else (
        f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    )
    with tempfile.TemporaryDirectory(prefix="mailtls-trial-") as scratch:
        disk = Path(scratch, "disk")
        disk.mkdir()
        result = subprocess.run(
            on_a_copy(tree, disk, "python3", "-c", version),
            capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    if result.returncode == 1 and not _last(result.stderr):
        found = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise NoTreeError(f"the tests run on Python {found}, and that of this Debian is another")
    if result.returncode != 0:
        raise NoTreeError(f"systemd-nspawn does not work here: {_last(result.stderr)}")


def _done(command: list[str], log: Path) -> None:
    with log.open("ab") as file:
        try:
            subprocess.run(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, check=True, timeout=MAKING_S)
        except (subprocess.SubprocessError, OSError) as error:
            said = _last(log.read_text("utf-8", "replace"))
            raise NoTreeError(f"{command[0]} could not make a Debian ({said or error}); see {log}") from error


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Attempted to remove")]
    return lines[-1] if lines else ""


def _release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text("utf-8").splitlines()
    except OSError:
        return {}
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def _cache() -> Path:
    """The directory of scripts/ground.sh (cache_directory)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache") / "mailtls-test"


def _mirror() -> str:
    """The first place that apt takes packages from."""
    for place in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        if place.exists():
            found = re.search(r"^(?:URIs:|deb(?: \[[^\]]*\])?)\s+(http\S+)", place.read_text("utf-8"), re.MULTILINE)
            if found:
                return found[1]
    raise NoTreeError("apt's sources name no mirror")
