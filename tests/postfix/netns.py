"""A small internet of the tests' own: a mail server, its peers, strangers, and a router in between.

    peers 198.51.100.0/24, 2001:db8:77::/64      --\
                                                    router --- mail server 192.0.2.25, .26, 2001:db8:25::25, ::26
    strangers 203.0.113.0/24, 2001:db8:78::/64   --/

A namespace of peers is "any" address of its networks at once, so that every client has an address of its own. Nothing
has a name anywhere: the namespaces are held by descriptors, and go with the process that made them, even if that is
killed. The host's own namespace is neither changed nor entered.

A namespace is a property of the thread (setns(2)), and of a socket since it was made: inside `with network.server:`
this thread, what it starts and the threads and processes that those start are on the mail server; a client's
connection may be used anywhere afterwards.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType

CLONE_NEWNET = 0x40000000
SERVER4, SECOND4, SERVER6, SECOND6 = "192.0.2.25", "192.0.2.26", "2001:db8:25::25", "2001:db8:25::26"
PEERS4, PEERS6 = "198.51.100", "2001:db8:77:"
STRANGERS4, STRANGERS6 = "203.0.113", "2001:db8:78:"

_LIBC = ctypes.CDLL(None, use_errno=True)


@cache
def why_no_namespaces(*, nft: bool = True) -> str | None:
    """Say in one clause why there can be no network of the tests' own here; None if there can."""
    for program in ("ip", *(("nft",) if nft else ())):
        if not shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin"):
            package = {"ip": "iproute2", "nft": "nftables"}[program]
            return f"Debian's package {package} is not installed"
    if os.geteuid() != 0:
        return "network namespaces need root"
    trial = "ip link add mailtls0 type veth peer name mailtls1" + (" && nft add table inet mailtls" if nft else "")
    tried = subprocess.run(["unshare", "--net", "sh", "-c", trial], capture_output=True, text=True, check=False)
    return f"no network namespace can be made here: {tried.stderr.strip()[:200]}" if tried.returncode else None


@dataclass(slots=True)
class Namespace:
    """One network namespace; in its `with` block this thread is in it. Blocks may be nested."""

    title: str
    descriptor: int
    _before: list[int] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Its name for `ip link ... netns`."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    def __enter__(self) -> Namespace:
        """Go in."""
        self._before.append(_here())
        _check(_LIBC.setns(self.descriptor, CLONE_NEWNET))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Go back."""
        before = self._before.pop()
        _check(_LIBC.setns(before, CLONE_NEWNET))
        os.close(before)

    def run(self, *command: str, told: str = "") -> str:
        """Run a command inside, and give what it printed; a RuntimeError has its complaint."""
        with self:
            ran = subprocess.run(command, input=told, capture_output=True, text=True, check=False, timeout=60)
        if ran.returncode:
            raise RuntimeError(f"{' '.join(command)} in {self.title}: exit status {ran.returncode}: {ran.stderr}")
        return ran.stdout

    def ip(self, *lines: str) -> None:
        """Run `ip` once for each line."""
        self.run("ip", "-batch", "-", told="\n".join(lines) + "\n")

    def allow(self, setting: str) -> None:
        """Set a setting of the kernel's to 1 inside; in containers /proc/sys is read-only, and a /proc of one's own not."""
        script = f"mount -t proc proc /proc && echo 1 >/proc/sys/{setting}"
        self.run("unshare", "--mount", "sh", "-c", script)

    def nft(self, rules: str) -> str:
        """Load rules, as one transaction."""
        return self.run("nft", "-f", "-", told=rules)


def _here() -> int:
    return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"setns or unshare: {os.strerror(number)}; it needs root")


@contextmanager
def made(title: str) -> Iterator[Namespace]:
    """Make a namespace with its loopback up."""
    before = _here()
    try:
        _check(_LIBC.unshare(CLONE_NEWNET))
        try:
            namespace = Namespace(title, _here())
        finally:
            _check(_LIBC.setns(before, CLONE_NEWNET))
    finally:
        os.close(before)
    try:
        namespace.ip("link set lo up")
        yield namespace
    finally:
        os.close(namespace.descriptor)


@dataclass(frozen=True, slots=True)
class Network:
    """The mail server, its peers, the strangers, and the router between them."""

    server: Namespace
    peers: Namespace
    strangers: Namespace
    router: Namespace


@contextmanager
def network() -> Iterator[Network]:
    """Lay the network out."""
    with ExitStack() as stack:
        titles = ("the mail server", "the peers", "the strangers", "the router")
        server, peers, strangers, router = (stack.enter_context(made(title)) for title in titles)
        _join(server, router, "mx", "192.0.2", "2001:db8:25:", (SERVER4, SECOND4, SERVER6, SECOND6))
        _join(peers, router, "peers", "10.7.7", "fd00:7:7:", ())
        _join(strangers, router, "strangers", "10.7.8", "fd00:7:8:", ())
        _spread(peers, router, "peers", "10.7.7", "fd00:7:7:", (PEERS4, PEERS6))
        _spread(strangers, router, "strangers", "10.7.8", "fd00:7:8:", (STRANGERS4, STRANGERS6))
        router.allow("net/ipv4/ip_forward")
        router.allow("net/ipv6/conf/all/forwarding")
        yield Network(server, peers, strangers, router)


def _join(inside: Namespace, router: Namespace, wire: str, net4: str, net6: str, addresses: Sequence[str]) -> None:
    """Lay a wire from a namespace to the router, which is .1 and ::1 there; the default routes go over it."""
    own = addresses or (f"{net4}.2", f"{net6}:2")
    router.ip(
        f"link add {wire} type veth peer name eth0 netns {inside.path}",
        f"addr add {net4}.1/24 dev {wire}",
        f"addr add {net6}:1/64 dev {wire} nodad",
        f"link set {wire} up",
    )
    inside.ip(
        *(f"addr add {each}/{'64 dev eth0 nodad' if ':' in each else '24 dev eth0'}" for each in own),
        "link set eth0 up",
        f"route add default via {net4}.1",
        f"route add default via {net6}:1",
    )


def _spread(inside: Namespace, router: Namespace, wire: str, net4: str, net6: str, nets: tuple[str, str]) -> None:
    """Make every address of two networks the namespace's own (AnyIP), and let the router know."""
    far4, far6 = f"{nets[0]}.0/24", f"{nets[1]}:/64"
    inside.ip(f"route add local {far4} dev lo", f"route add local {far6} dev lo")
    inside.allow("net/ipv6/ip_nonlocal_bind")  # IPv4 asks the routes, IPv6 the addresses
    router.ip(f"route add {far4} via {net4}.2 dev {wire}", f"route add {far6} via {net6}:2 dev {wire}")
