"""What a policy may not say, although each key by itself is well-formed.

One table, `CHECKS`: each check looks at the whole policy and yields the faults it finds, each with its place and
with what to write instead. Among them are the two promises that no file can undo: nothing below the strict door for
a cause that no door helps against, and no automatic `sslv3`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mailtls.core.action import Action
from mailtls.core.cause import Cause
from mailtls.core.duration import say_duration
from mailtls.core.level import Level, levels_for
from mailtls.core.messagerule import phase_faults, text_faults
from mailtls.core.operatorfile import Fault, shown
from mailtls.core.rule import CauseRule, Network

if TYPE_CHECKING:
    from mailtls.core.policy import Policy

_LETS_DOWN = (Action.PROPOSE, Action.WAIVE)


def contradictions(policy: Policy) -> Iterator[Fault]:
    """Yield everything in a policy that cannot be meant, in no particular order."""
    for check in CHECKS:
        yield from check(policy)


def network_fault(text: str) -> str | None:
    """Say what is wrong with the text of an address or network, or None."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return _wrong_network(text)
    return None


def _wrong_network(text: str) -> str:
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f'{shown(text)} is no address or network; write one such as "192.0.2.7" or "2001:db8::/48"'
    host = text.partition("/")[0]
    return f'{shown(text)} has host bits set; write "{meant}" for the network or "{host}" for the host'


def _named(policy: Policy, *actions: Action) -> Iterator[tuple[Cause, CauseRule]]:
    return ((cause, rule) for cause, rule in policy.causes.items() if rule.action in actions)


def _success_is_no_cause(policy: Policy) -> Iterator[Fault]:
    for cause in (Cause.NONE, Cause.DROPPED_AFTER_TLS):
        if cause in policy.causes:
            yield Fault(("causes", cause), f"{cause} means that the handshake was completed; remove [causes.{cause}]")


def _no_door_helps(policy: Policy) -> Iterator[Fault]:
    for cause, rule in _named(policy, *_LETS_DOWN):
        if not levels_for(cause):
            what = f'action is "{rule.action}", but no door helps against {cause}; write "advise" or "ignore"'
            yield Fault(("causes", cause, "action"), what)


def _floor_missing(policy: Policy) -> Iterator[Fault]:
    for cause, rule in _named(policy, *_LETS_DOWN):
        levels = levels_for(cause)
        if levels and rule.level_floor is None:
            what = f'action is "{rule.action}" without level_floor; write how far at most, level_floor = "{levels[0]}"'
            yield Fault(("causes", cause, "action"), what)


def _floor_useless(policy: Policy) -> Iterator[Fault]:
    for cause, rule in policy.causes.items():
        levels = levels_for(cause)
        if levels and rule.level_floor is not None and rule.level_floor not in levels:
            what = f'level_floor is "{rule.level_floor}", which does not help against {cause}; write {_one_of(levels)}'
            yield Fault(("causes", cause, "level_floor"), what)


def _one_of(levels: tuple[Level, ...]) -> str:
    words = [f'"{level}"' for level in levels]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _waive_without_after(policy: Policy) -> Iterator[Fault]:
    for cause, rule in _named(policy, Action.WAIVE):
        if rule.after is None and levels_for(cause):
            example = 'after = { sessions = 3, within = "24h", spread = "10m" }'
            what = f'action is "waive" without after, so that one broken handshake would do; write {example}'
            yield Fault(("causes", cause, "action"), what)


def _spread_beyond_within(policy: Policy) -> Iterator[Fault]:
    for cause, rule in policy.causes.items():
        after = rule.after
        if after is None:
            continue
        if after.spread > after.within:
            what = (
                f"spread is {say_duration(after.spread)}, more than within, {say_duration(after.within)}, "
                "so that it is never reached; write a spread below within"
            )
            yield Fault(("causes", cause, "after", "spread"), what)
        elif after.sessions == 1 and after.spread:
            what = "spread asks for time between sessions, but sessions is 1; write sessions = 2 or leave spread out"
            yield Fault(("causes", cause, "after", "spread"), what)


def _no_time_at_all(policy: Policy) -> Iterator[Fault]:
    for cause, rule in policy.causes.items():
        for key, length in (("lifetime", rule.lifetime), ("longest", rule.longest)):
            if not length:
                yield Fault(("causes", cause, key), f'{key} is no time at all; write at least "1h", or action "advise"')
        if rule.after is not None and not rule.after.within:
            yield Fault(("causes", cause, "after", "within"), 'within is no time at all; write for example "24h"')


def _lifetime_beyond_longest(policy: Policy) -> Iterator[Fault]:
    for cause, rule in policy.causes.items():
        if rule.lifetime <= rule.longest:
            continue
        key = "lifetime" if "lifetime" in rule.model_fields_set else "longest"
        what = (
            f"lifetime, {say_duration(rule.lifetime)}, is longer than longest, {say_duration(rule.longest)}; "
            "write a lifetime of at most longest"
        )
        yield Fault(("causes", cause, key), what)


def _automatic_sslv3(policy: Policy) -> Iterator[Fault]:
    for index, level in enumerate(policy.limits.automatic):
        if level is Level.SSLV3:
            what = (
                "automatic lists sslv3, which only a person or an entry of known-legacy.toml gives; remove it here and "
                "name the peer there"
            )
            yield Fault(("limits", "automatic", index), what)


def _nothing_automatic(policy: Policy) -> Iterator[Fault]:
    automatic = policy.limits.automatic
    for cause, rule in _named(policy, Action.WAIVE):
        floor = rule.level_floor
        levels = tuple(level for level in levels_for(cause) if floor is not None and floor.reaches(level))
        if levels and not set(levels) & set(automatic):
            what = (
                f'action is "waive", but limits.automatic has none of {", ".join(levels)}; write "propose", or '
                f'add "{levels[-1]}" to limits.automatic if no person need be asked'
            )
            if Level.CLEARTEXT not in levels and Level.SSLV3 in levels:
                what = 'action is "waive", but sslv3 is never given automatically; write "propose"'
            yield Fault(("causes", cause, "action"), what)


def _quota(policy: Policy) -> Iterator[Fault]:
    limits = policy.limits
    if limits.per_day > limits.waivers:
        key = "per_day" if "per_day" in limits.model_fields_set else "waivers"
        most = limits.waivers
        what = f"per_day is {limits.per_day}, more than waivers, {most}; write per_day = {most} or less"
        yield Fault(("limits", key), what)
    if not limits.per_day:
        for cause, rule in _named(policy, Action.WAIVE):
            what = f'action is "{rule.action}", but limits.per_day is 0, so that it never happens; write "propose"'
            yield Fault(("causes", cause, "action"), what)


def _never_networks(policy: Policy) -> Iterator[Fault]:
    for index, text in enumerate(policy.never.networks):
        if wrong := network_fault(text):
            yield Fault(("never", "networks", index), wrong)


def _never_names(policy: Policy) -> Iterator[Fault]:
    for index, text in enumerate(policy.never.names):
        if wrong := name_fault(text) or _no_dot(text):
            yield Fault(("never", "names", index), wrong)


def _required_of(policy: Policy) -> Iterator[Fault]:
    """A domain is a name; a peer is a name, an address or a network."""
    for key in policy.require.domains:
        if wrong := name_fault(key):
            yield Fault(("require", "domains", key), wrong)
    for key in policy.require.peers:
        if network_fault(key) is not None and (wrong := network_fault(key) if "/" in key else name_fault(key)):
            yield Fault(("require", "peers", key), wrong)


def _required_twice(policy: Policy) -> Iterator[Fault]:
    """Two spellings of one domain or peer: the later would count, and nobody would see it."""
    for name, keys in (("domains", policy.require.domains), ("peers", policy.require.peers)):
        spelled: dict[str, str] = {}
        for key in keys:
            first = spelled.setdefault(_canonical(key), key)
            if first != key:
                what = f"{shown(key)} is the same as {shown(first)}, which has an entry already; remove one of them"
                yield Fault(("require", name, key), what)


def _canonical(key: str) -> str:
    """Spell an address, network or name as it is compared (core/peermap.py)."""
    try:
        return str(ipaddress.ip_network(key))
    except ValueError:
        return key.lower().rstrip(".")


def _texts(policy: Policy) -> Iterator[Fault]:
    yield from text_faults(policy.require)


def _phasing_out(policy: Policy) -> Iterator[Fault]:
    yield from phase_faults(policy.phase_out)


def _no_dot(text: str) -> str | None:
    if text.startswith("."):
        return None
    return f'{shown(text)} has no dot in front; write ".{text}", which covers {text} too'


def name_fault(text: str) -> str | None:
    """Say what is wrong with a host name or `.domain` of a file, or None."""
    bare = text.removeprefix(".")
    if "*" in bare or "?" in bare:
        tail = bare.rpartition("*")[2].lstrip(".?") or "example.com"
        return f'{shown(text)} has a wildcard; write ".{tail}", which covers all names below it'
    if bare.rstrip(".").lower() == "unknown":
        return '"unknown" is what Postfix prints for peers without a confirmed name, and matches nobody; write a name'
    if network_fault(text) is None:
        return f"{shown(text)} is an address; write it under network or networks"
    labels = bare.rstrip(".").split(".")
    if not all(label and label.isprintable() and not set(label) & set(' /:@[]"\\') for label in labels):
        return f'{shown(text)} is no host name; write one such as ".example.com"'
    if labels[-1].isdigit():  # no top-level domain is a number (RFC 3696 2): an address that was mistyped
        return f'{shown(text)} is neither an address nor a host name; write one such as "192.0.2.7" or ".example.com"'
    if text.startswith(".") and len(labels) < 2:
        return f'{shown(text)} covers a whole top-level domain; write more of the name, such as ".example{text}"'
    return None


def wider_than(network: Network, policy: Policy) -> int | None:
    """Give the shortest prefix that the policy allows if this network's is shorter, else None."""
    widest = policy.limits.widest.ipv4 if network.version == 4 else policy.limits.widest.ipv6
    return widest if network.prefixlen < widest else None


CHECKS: tuple[Callable[[Policy], Iterator[Fault]], ...] = (
    _success_is_no_cause,
    _no_door_helps,
    _floor_missing,
    _floor_useless,
    _waive_without_after,
    _spread_beyond_within,
    _no_time_at_all,
    _lifetime_beyond_longest,
    _automatic_sslv3,
    _nothing_automatic,
    _quota,
    _never_networks,
    _never_names,
    _required_of,
    _required_twice,
    _texts,
    _phasing_out,
)
