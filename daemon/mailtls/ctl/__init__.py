"""The command line: `mailtlsctl`, one file a command.

`main` is all that an installed program calls. It imports nothing before it is needed: a plain `report` is recognised
by `shortcut` without Typer, and Rich is only loaded for what a person will read (docs/decisions/0004).

Exit status: 0 done, 1 findings that were asked for (or an unknown peer), 2 usage or input that cannot be read,
3 mailtlsd or the keeper is not reachable, 4 refused, 130 interrupted, 141 the reader of the output went away. Bad
input is one sentence on standard error, never a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from mailtls.ctl import output
from mailtls.errors import MailtlsError, ProtocolError, RefusedError, UnreachableError

USAGE = 2
UNREACHABLE = 3
REFUSED = 4
INTERRUPTED = 128 + 2  # as a shell reports a program that SIGINT ended
READER_GONE = 128 + 13  # the same for SIGPIPE


def main() -> NoReturn:
    """Run the command of this process's arguments and exit with its status.

    At once, when all is written: taking a large history apart first would take as long as diagnosing it.
    """
    status = run(sys.argv[1:])
    output.leave()
    os._exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit status, whatever the input is like."""
    try:
        status = _dispatch(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except MailtlsError as error:
        output.complain(str(error))
        return status_of(error)
    except KeyboardInterrupt:
        output.complain("interrupted; nothing was changed")
        return INTERRUPTED
    except (BrokenPipeError, output.ReaderGoneError):
        return READER_GONE
    return status


def status_of(error: MailtlsError) -> int:
    """Give the exit status that an error ends with: who talks rubbish is no better than who does not answer."""
    if isinstance(error, UnreachableError | ProtocolError):
        return UNREACHABLE
    return REFUSED if isinstance(error, RefusedError) else USAGE


def _dispatch(arguments: Sequence[str]) -> int:
    completing = "_MAILTLSCTL_COMPLETE" in os.environ  # set by the shell's completion function
    if not completing:
        from mailtls.ctl.shortcut import plain_report

        order = plain_report(arguments)
        if order is not None:
            from mailtls.ctl.report import report

            return report(order)
    from mailtls.ctl.app import obey

    return obey(arguments)
