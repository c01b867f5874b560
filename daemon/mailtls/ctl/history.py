"""`mailtlsctl history`: what was decided and done, the latest first, and why."""

from __future__ import annotations

from collections.abc import Iterator

from mailtls.core.action import Action
from mailtls.core.controlprotocol import AskHistory, PastStep
from mailtls.core.keeperprotocol import Step
from mailtls.ctl import output
from mailtls.ctl.inquiry import ask_daemon, places_of, print_json
from mailtls.ctl.known import local
from mailtls.ctl.screen import ADDRESS, GOOD, Screen, figure, heading, text
from mailtls.ctl.whom import read_whom

_INDENT = 4
_STYLES: dict[str, str] = {
    Action.WAIVE: "yellow", Action.PROPOSE: "yellow", Action.WITHDRAW: GOOD,
    Step.GRANTED: "yellow", Step.WITHDRAWN: GOOD, Step.EXPIRED: GOOD,
}  # fmt: skip


def history(whom: str | None, *, limit: int, as_json: bool, config: str | None) -> int:
    """Print the steps; 0 also where there is none. Raises ConfigError, UnreachableError, RefusedError."""
    asked = read_whom(whom).asked if whom is not None else None
    answer = ask_daemon(places_of(config), AskHistory(whom=asked, limit=limit))
    if as_json:
        print_json(answer, "history")
    else:
        output.write(_pages(answer.history or (), limit, Screen()))
    return 0


def _pages(steps: tuple[PastStep, ...], limit: int, view: Screen) -> Iterator[str]:
    if not steps:
        yield view.render(text("Nothing was decided or done yet."))
    for step in steps:
        yield from step_lines(step, view)
    if len(steps) == limit:
        yield view.render(heading(f"The latest {figure(limit)}; --limit asks for more."))


def step_lines(step: PastStep, view: Screen) -> Iterator[str]:
    """Tell one step: when, what, about whom, why, and what a person may do instead."""
    style = _STYLES.get(step.step or step.action or "", "bold")
    yield view.prose(f"{local(step.at)}  {_what(step)}", style)
    name = f"  {step.name}" if step.name else ""
    yield view.prose(name, lead=step.ip or "the server", lead_style=ADDRESS, indent=_INDENT)
    for reason in step.reasons:
        yield view.prose(reason, indent=_INDENT)
    for alternative in step.alternatives:
        yield view.prose(f"or: {alternative}", indent=_INDENT)


def _what(step: PastStep) -> str:
    words = [step.step or step.action or step.kind, step.level or ""]
    if step.until is not None:
        words.append(f"until {local(step.until)}")
    if step.by is not None:
        words.append(f"by {step.by}")
    if step.rule is not None:
        words.append(f"by rule {step.rule}")
    return " ".join(word for word in words if word)
