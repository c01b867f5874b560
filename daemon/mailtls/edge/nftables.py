"""nft(8): reads our table, changes it in transactions, and tells when somebody else removes what is in it.

Every transaction is one text on its standard input (core/nftscript.py): all of it happens, or nothing. What nft says is
told in its own words, after the sentence for the operator: which of the usual reasons it is, and what to do.

SECURITY: needs CAP_NET_ADMIN. No shell, no name that nft would resolve; each run has an end in time.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from threading import Lock
from typing import Any

from mailtls.core.nftlisting import Listing, parse_listing
from mailtls.core.nftscript import TABLE
from mailtls.errors import FirewallError

COMMAND = "nft"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"}
PATIENCE_S = 10.0
MISSING = "No such file or directory"

WHY = (
    ("Operation not permitted", "mailtls-keeper needs root with CAP_NET_ADMIN, which its systemd unit gives; in a "
     "container that has no such right no door can be served, only the level cleartext"),
    ("Operation not supported", "this kernel lacks nat or fib for nftables (modules nft_chain_nat, nft_fib_inet, "
     "nft_reject_inet, nft_ct): modprobe them, or boot the distribution's own kernel"),
    ("Protocol not supported", "this kernel has no nftables: boot the distribution's own kernel"),
    (MISSING, "this kernel may lack nat or fib for nftables (modules nft_chain_nat, nft_fib_inet, nft_reject_inet, "
     "nft_ct): modprobe them, or boot the distribution's own kernel"),
)  # fmt: skip


class Nftables:
    """Runs nft. Every method may raise FirewallError. `interrupt` ends what runs, from another thread."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[str] | None = None
        self._lock = Lock()
        self._stopped = False

    def carry_out(self, script: str) -> None:
        """Do one transaction."""
        status, _, err = self._run(["-f", "-"], script)
        if status:
            raise FirewallError(_sentence(err))

    def listing(self) -> Listing | None:
        """Give our table as it stands; None: there is none."""
        status, out, err = self._run(["-j", "list", "table", *TABLE.split()])
        if status and MISSING in err:
            return None
        if status:
            raise FirewallError(_sentence(err))
        try:
            return parse_listing(out)
        except ValueError as error:
            raise FirewallError(f"{error}; is nft of another make installed? See: nft --version") from error

    def holds(self, name: str, ip: str) -> bool:
        """Tell whether this address is in a set of hosts.

        By trying whether it could be made (`-c`: nothing happens): `get element` lists the whole set first, which
        takes five times as long where it is large.
        """
        status, _, err = self._run(["-c", "create", "element", *TABLE.split(), name, "{", ip, "}"])
        if status and "File exists" not in err:
            raise FirewallError(_sentence(err))
        return status != 0

    def ruleset(self) -> list[dict[str, Any]]:
        """Give everybody's tables, chains and rules, without the elements of sets (libnftables-json(5))."""
        status, out, err = self._run(["-j", "-t", "list", "ruleset"])
        if status:
            raise FirewallError(_sentence(err))
        try:
            listed = json.loads(out)["nftables"]
        except (ValueError, KeyError) as error:
            raise FirewallError("nft lists the rules of this machine in a form that is not known") from error
        return list(listed)

    def interrupt(self) -> None:
        """End what runs now, and refuse whatever comes later."""
        with self._lock:
            self._stopped = True
            if self._running is not None:
                self._running.kill()

    def _run(self, words: list[str], text: str = "") -> tuple[int, str, str]:
        try:
            with self._started([COMMAND, *words]) as process:
                try:
                    out, err = process.communicate(text, PATIENCE_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise FirewallError(f"nft {words[0]} did not end within {PATIENCE_S:.0f} s") from None
        except FileNotFoundError as error:
            raise FirewallError("there is no nft here, and no door without it: apt-get install nftables") from error
        except OSError as error:
            raise FirewallError(f"nft cannot be run: {(error.strerror or str(error)).lower()}") from error
        finally:
            self._running = None
        return process.returncode, out, err

    def _started(self, command: list[str]) -> subprocess.Popen[str]:
        with self._lock:
            if self._stopped:
                raise FirewallError("the keeper is being stopped")
            pipe = subprocess.PIPE
            self._running = subprocess.Popen(  # noqa: S603 - our own words, and addresses that were parsed
                command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace", env=ENVIRONMENT
            )
            return self._running


async def removals() -> AsyncIterator[None]:
    """Tell each time that a rule of our table was removed, as by `flush ruleset`; ends when nft does.

    Raises FirewallError where nft cannot be run.
    """
    command = (COMMAND, "monitor", "rules")  # nft 1.1.3 takes no `destroy` here, 1.0.6 does
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=null, stdout=pipe, stderr=null, env=ENVIRONMENT, limit=1 << 20
        )
    except OSError as error:
        raise FirewallError(f"nft cannot be run: {(error.strerror or str(error)).lower()}") from error
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    try:
        with suppress(ValueError):  # a line that does not end: begin anew
            while line := await process.stdout.readline():
                if line.startswith(f"delete rule {TABLE} ".encode()):
                    yield None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _sentence(err: str) -> str:
    """Say what nft complains of: its first words, and what they usually mean."""
    said = next((line.strip() for line in err.splitlines() if "rror" in line or "not permitted" in line), err.strip())
    why = next((sentence for words, sentence in WHY if words in err), "see: nft list ruleset")
    return f"nftables refuses: {said[:200] or 'without a word'}; {why}"
