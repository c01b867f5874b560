"""The commands as Typer knows them: completion in a real shell, and the manual page that says the same."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pexpect
import pytest
import typer

from ctl.program import PROGRAM, environment, mailtlsctl
from mailtls.ctl.app import app

MANUAL = Path(__file__).parents[2] / "docs" / "mailtlsctl.1"
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]


def completed(words: str) -> set[str]:
    """What bash is offered for these words, the cursor behind the last one."""
    asked = {"_MAILTLSCTL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    return set(mailtlsctl(**asked).stdout.split())


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("mailtlsctl ", set(COMMANDS)),
        ("mailtlsctl exp", {"explain", "export"}),
        ("mailtlsctl allow-legacy --level ", {"legacy-rsa", "legacy", "sslv3", "cleartext"}),
        ("mailtlsctl report --format ", {"text", "json"}),
        ("mailtlsctl report --f", {"--format", "--fail-on-findings"}),
        ("mailtlsctl report /var/lo", set()),  # bash then offers files
    ],
)
def test_commands_options_and_choices_are_completed(words: str, offered: set[str]) -> None:
    assert completed(words) == offered


def test_tab_in_bash_completes_a_command() -> None:
    path = {"PATH": f"{PROGRAM.parent}:{environment()['PATH']}", "PS1": "ready> "}
    shell = pexpect.spawn(
        "bash", ["--norc", "--noprofile", "-i"], env=environment(**path, TERM="dumb"), encoding="utf-8"
    )
    try:
        shell.sendline('PS1="ready> "; eval "$(_MAILTLSCTL_COMPLETE=source_bash mailtlsctl)"; echo set-up=$?')
        shell.expect(r"set-up=0")
        shell.send("echo mailtlsctl-x; mailtlsctl expl\t")
        shell.expect(r"mailtlsctl explain ")
    finally:
        shell.close(force=True)


def test_the_completion_script_is_also_to_be_had_without_a_shell() -> None:
    script = mailtlsctl(_MAILTLSCTL_COMPLETE="source_bash").stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert "complete -o default" in script


def documented_options(command: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", mailtlsctl(command, "--help", COLUMNS="200").stdout))


def test_the_manual_page_names_every_command_and_option_and_no_other() -> None:
    page = MANUAL.read_text("utf-8").replace("\\-", "-")
    assert set(re.findall(r"^\.(?:It )?Cm ([\w-]+)", page, re.MULTILINE)) >= set(COMMANDS)
    on_the_page = {f"-{name}" for name in re.findall(r"Fl (-[a-z][a-z-]+)", page)}
    known = set().union(*(documented_options(command) for command in COMMANDS))
    whole = set(re.findall(r"--[a-z][a-z-]+", mailtlsctl("--help", COLUMNS="200").stdout))
    assert on_the_page == known | whole


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
@pytest.mark.parametrize("page", [MANUAL, MANUAL.with_name("mailtls-apply.8")], ids=lambda page: page.name)
def test_the_manual_page_is_well_formed(page: Path) -> None:
    checked = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("status", ["0", "1", "2", "3", "4", "130", "141"])
def test_the_manual_page_says_what_each_exit_status_means(status: str) -> None:
    assert f".It {status}\n" in MANUAL.read_text("utf-8")


@pytest.mark.parametrize("name", ["setup", "unsetup", "edit", "reload"])
def test_mailtls_apply_takes_the_options_of_the_commands_that_are_its_own(name: str) -> None:
    """mailtls-apply(8) says that its commands are those of mailtlsctl."""
    ours = set(long_options(name))
    shown = subprocess.run([PROGRAM.with_name("mailtls-apply"), name, "--help"], capture_output=True, text=True, check=True)
    before = subprocess.run([PROGRAM.with_name("mailtls-apply"), "--help"], capture_output=True, text=True, check=True)
    assert ours
    assert {each for each in ours if each not in shown.stdout + before.stdout} == set()


def long_options(name: str) -> list[str]:
    """Give every option of a command, as Typer knows them."""
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    return [each for option in command.params for each in (*option.opts, *option.secondary_opts) if each.startswith("--")]
