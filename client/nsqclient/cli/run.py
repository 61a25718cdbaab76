"""``run``: runs an app, in one process or in several."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nsqclient.app.app import App
from nsqclient.cli.workers import run_workers
from nsqclient.errors import ConfigError

NEEDS_TARGET = False
LIFELINE = "NSQCLIENT_LIFELINE"
"""Names, for a worker, the descriptor that is closed when its parent has died."""
ABOUT = """\
Runs the handlers of an app until SIGINT or SIGTERM.

  nsq run shop:app
  nsq run shop.orders:make_app --workers 4 --grace 60

MODULE:NAME is an App, or a function without arguments that makes one; NAME is 'app' if it is left out. Modules
are looked for in the current folder first. What the app connects to is its own affair; App(from_env()) takes
it from NSQ_URL.

The first signal ends it in order: handlers under way have --grace seconds. A second one cancels them, and their
messages are requeued. With --workers there is a process for each, and a signal goes to all of them; when one
ends by itself the others end, too, so that whoever started this notices.

The log goes to stderr, at the level INFO, unless the app configures logging by itself.

Exit status: 0 after a signal, 1 when the start failed or a subscription died, 128 plus the number of the signal
that cut the end short.
"""


def add_to(commands: Any) -> Iterator[tuple[argparse.ArgumentParser, Callable[..., Any]]]:
    """Its arguments, and what does it."""
    parser = commands.add_parser("run", help="run an app", description=ABOUT)
    parser.add_argument("app", metavar="MODULE:NAME", help="where the app is")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes; default 1")
    parser.add_argument(
        "--grace", type=float, metavar="SECONDS", help="for handlers under way at the end; default: the app's"
    )
    yield parser, run


def run(args: argparse.Namespace) -> int:
    """Does it; returns the exit status."""
    if args.workers < 1:
        raise ConfigError(f"--workers is {args.workers}, want at least 1")
    if args.grace is not None and args.grace < 0:
        raise ConfigError(f"--grace is {args.grace:g}, want 0 or more")
    if args.workers > 1:
        return run_workers(args.workers, _worker_command(args), LIFELINE)
    app = load(args.app)
    if not logging.getLogger().hasHandlers():
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if lifeline := os.environ.pop(LIFELINE, ""):
        threading.Thread(target=_end_with_parent, args=(int(lifeline),), daemon=True).start()
    app.run(grace=args.grace)
    return 0


def load(spec: str) -> App:
    """The app that ``module:name`` means; raises ConfigError, and what importing the module raises."""
    module_name, _, name = spec.partition(":")
    if not module_name:
        raise ConfigError(f"{spec!r} does not name an app; write MODULE:NAME, such as shop:app")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as e:
        if e.name is None or not f"{module_name}.".startswith(f"{e.name}."):
            raise  # it is there, and what it imports is not
        raise ConfigError(f"there is no module {module_name!r} here ({Path.cwd()}) nor installed") from None
    found: Any = module
    for part in (name or "app").split("."):
        found = getattr(found, part, None)
    if not isinstance(found, App) and callable(found):
        found = found()
    if not isinstance(found, App):
        raise ConfigError(f"{name or 'app'!r} in module {module_name!r} is no App but {type(found).__name__}")
    return found


def _worker_command(args: argparse.Namespace) -> list[str]:
    grace = [] if args.grace is None else [f"--grace={args.grace}"]
    verbose = ["--verbose"] if args.verbose else []
    return [sys.executable, "-m", "nsqclient", "run", args.app, *grace, *verbose]


def _end_with_parent(lifeline: int) -> None:
    """Ends this process in order once nobody is left who would."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)
