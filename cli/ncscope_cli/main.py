"""Entry point: collects the verbs and turns NcscopeError into one line and exit status 1."""

import atexit
import contextlib
import gc
import os
import sys
import threading
from typing import Annotated, NoReturn

import typer

from ncscope import NcscopeError, __version__
from ncscope_cli.failure import unexpected
from ncscope_cli.help import CONTEXT, Verbs
from ncscope_cli.terminal import answer, filtered, say

INTERRUPTED = 130  # 128 and SIGINT, as shells say it

app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes longer to import than the help may take to appear
    context_settings=CONTEXT,
    help="Neural-collapse diagnosis and correction of prompt-tuned CLIP models.",
    epilog="\b\nFirst steps:\n"
    "  ncscope demo                                    # no data needed\n"
    "  ncscope analyze features.npz --out out          # features you have\n"
    "  ncscope VERB -h                                 # options in groups, and an example",
)


def _version(wanted: bool) -> None:
    if wanted:
        answer(f"ncscope {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None: ...


def main() -> None:
    """Run a verb: 0 done, 1 a refusal with one clear line on stderr, 2 wrong usage."""
    with filtered():
        _run()


def entry() -> NoReturn:
    """`main` as a whole process, which is over as soon as its work is."""
    gc.set_threshold(50_000, 20, 20)  # an import makes no garbage: a tenth of the time to torch
    try:
        main()
    except SystemExit as ended:
        _leave(ended.code)
    _leave(None)


def _run() -> None:
    """Run a verb; whatever goes wrong in it is one line."""
    try:
        app()
    except NcscopeError as error:
        say(error)
        sys.exit(1)
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as ended:  # typer makes this of an interrupt, and says nothing
        if ended.code == INTERRUPTED:
            _interrupted()
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        say(unexpected(error))
        sys.exit(1)


def _interrupted() -> NoReturn:
    say("interrupted")
    sys.exit(INTERRUPTED)


def _leave(code: str | int | None) -> NoReturn:
    """End the process without taking Python and torch down piece by piece, which takes half a
    second; threads end first and those are called who asked to be, as multiprocessing does it.

    Of several processes nobody is called: torch's threads, while those of the others still end,
    have been seen to abort one whose work was done.
    """
    if isinstance(code, str):
        say(code)
    if os.environ.get("WORLD_SIZE", "1") == "1":
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError):  # closed
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    entry()
