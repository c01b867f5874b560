"""The short way to `report` means exactly what Typer means, or steps aside."""

import inspect

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailtls.ctl import app, shortcut
from mailtls.ctl.shortcut import ReportOrder, plain_report

WORDS = ["report", "--format", "json", "text", "--format=json", "--format=", "--since", "2026-11-21", "--since=x=y",
         "--until", "--fail-on-findings", "--peers", "-", "--", "mail.log", "a b", "", "--help", "-h", "--form",
         "--version", "explain", "--no-peers", "-x", "--peers=1"]  # fmt: skip


def by_typer(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> ReportOrder | None:
    """What Typer makes of the arguments: the order it hands to `report`, None where it does anything else."""
    orders: list[ReportOrder] = []

    def take(order: ReportOrder) -> int:
        orders.append(order)
        return 0

    monkeypatch.setattr("mailtls.ctl.report.report", take)
    app.obey(arguments)
    return orders[0] if orders else None


@given(st.lists(st.sampled_from(WORDS), max_size=8).map(lambda words: ["report", *words]))
@example(["report", "--since", "--peers", "mail.log"])
@example(["report", "mail.log", "--format", "json", "--format", "text"])
def test_what_is_recognised_means_what_typer_makes_of_it(arguments: list[str]) -> None:
    order = plain_report(arguments)
    if order is not None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            assert by_typer(arguments, monkeypatch) == order


@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        (["report", "a", "b"], ReportOrder(["a", "b"])),
        (["report", "--format", "json", "-"], ReportOrder(["-"], format="json")),
        (["report", "a", "--format=json", "b"], ReportOrder(["a", "b"], format="json")),
        (["report", "--since", "2026-11-21", "--until=2026-11-22 10:00", "a"],
         ReportOrder(["a"], since="2026-11-21", until="2026-11-22 10:00")),
        (["report", "--peers", "--fail-on-findings", "a"], ReportOrder(["a"], fail_on_findings=True, peers=True)),
    ],
)  # fmt: skip
def test_the_usual_arguments_need_no_typer(arguments: list[str], order: ReportOrder) -> None:
    assert plain_report(arguments) == order


@pytest.mark.parametrize(
    "arguments",
    [[], ["report"], ["report", "--help"], ["report", "--format", "xml", "a"], ["report", "--", "-odd-name"],
     ["report", "--since"], ["explain", "192.0.2.7"], ["report", "--formatjson", "a"], ["report", "", "a"]],
)  # fmt: skip
def test_everything_else_is_left_to_typer(arguments: list[str]) -> None:
    assert plain_report(arguments) is None


def test_an_option_is_known_to_the_shortcut_to_the_order_and_to_typer() -> None:
    short = {option.removeprefix("--").replace("-", "_") for option in {**shortcut._WITH_VALUE, **shortcut._FLAGS}}
    order = set(ReportOrder.__slots__) - {"logs"}
    typer = {"format" if name == "form" else name for name in inspect.signature(app.report).parameters} - {"logs"}
    assert short == order == typer
