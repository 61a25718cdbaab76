"""Command lines: words in, an options object or a clear refusal out.

Go's syntax: one dash or two, ``-name value`` or ``-name=value``. A flag given on the command line wins over
the config file, the file over the default.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, cast

from nsqcore import config_file, logs
from nsqcore.options import BOOLEANS, BadConfig, Flag, UsageError, flags_of
from nsqcore.version import banner

log = logging.getLogger(__name__)

_STRICT = "strict-config"
_OWN = {
    "config": "  --config string\n    \tpath of a TOML file with flags that are not given here; its keys are told below",
    _STRICT: f"  --{_STRICT}\n    \trefuse to start with a config file that has keys of no meaning",
    "version": "  --version\n    \tprint the version and exit",
}


class Given(NamedTuple):
    """What a command line says: options by field name, the config file's path, and how to take its keys."""

    options: dict[str, object]
    config: str = ""
    strict: bool = False


class Words(NamedTuple):
    """What the words of a command line are, see :func:`read_words`."""

    options: dict[str, object]
    """By field name."""
    switches: dict[str, bool]
    texts: dict[str, str]
    rest: list[str]
    """Words that are no flags."""


def read_words(
    argv: Sequence[str],
    flags: Mapping[str, Flag],
    *,
    switches: Mapping[str, bool],
    show_help: Callable[[], NoReturn],
    texts: Collection[str] = (),
    anywhere: bool = False,
) -> Words:
    """Reads the words of a command line; raises UsageError, BadConfig, and what ``show_help`` raises.

    ``switches`` are booleans beside ``flags``, and what they are unless given; ``texts`` are names of flags with
    a text. The first word that is no flag ends the flags, unless such words may stand ``anywhere``; ``--``
    always does, and is no word itself.
    """
    read = Words({}, dict(switches), {}, [])
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            read.rest.append(word)
            if anywhere:
                continue
            break
        name, equals, text = word.removeprefix("-").removeprefix("-").partition("=")
        if not name or name.startswith("-"):
            raise UsageError(f"bad flag syntax: {word}")
        if name in ("h", "help"):
            show_help()
        if name in read.switches:
            if equals and text not in BOOLEANS:
                raise UsageError(
                    f'invalid boolean value "{text}" for -{name}: parse error',
                    f"-{name}: want true or false",
                )
            read.switches[name] = BOOLEANS.get(text, True)
            continue
        flag = flags.get(name)
        if flag is None and name not in texts:
            raise UsageError(f"flag provided but not defined: -{name}", _near(name, flags))
        if not equals:
            if flag is not None and flag.bare is not None:
                text = flag.bare
            elif words:
                text = words.pop(0)
            else:
                raise UsageError(f"flag needs an argument: -{name}")
        if flag is None:
            read.texts[name] = text
        elif flag.repeatable:
            items = cast(list[object], read.options.setdefault(flag.field, []))
            items.extend(cast(list[object], flag.parse(text)))
            if flag.arrange is not None:
                read.options[flag.field] = flag.arrange(items)
        else:
            read.options[flag.field] = flag.parse(text)
    read.rest.extend(words)
    return read


def _near(name: str, flags: Iterable[str]) -> str:
    from difflib import get_close_matches  # needed for a mistake only

    found = get_close_matches(name.lower().replace("_", "-"), list(flags), n=1)
    return f"did you mean --{found[0]}?" if found else ""


class CommandLine:
    """The command line of one program: ``options`` is a dataclass of :func:`nsqcore.options.option` fields."""

    def __init__(
        self,
        program: str,
        options: type[Any],
        *,
        about: str,
        ignored: Sequence[str] = ("verbose",),
        first: Sequence[str] = ("log_level",),
    ) -> None:
        """``about`` opens the usage; ``ignored`` are booleans that old scripts give and nothing reads;
        ``first`` are the fields whose values in a config file are looked at before all others."""
        self.program, self.options, self.about = program, options, about
        self.flags = {flag.name: flag for flag in flags_of(options)}
        self.ignored = tuple(ignored)
        self._first = tuple(first)

    def usage(self) -> str:
        """What ``--help`` prints, from ``Usage of <program>:`` on."""
        lines = {name: flag.usage() for name, flag in self.flags.items()} | _OWN
        lines |= {name: f"  --{name}\n    \taccepted for old scripts; has no effect" for name in self.ignored}
        return "\n".join(
            [
                f"Usage of {self.program}:",
                *(lines[name] for name in sorted(lines)),
                "",
                self.about.strip(),
                "",
            ]
        )

    def parse(self, argv: Sequence[str]) -> Given:
        """What ``argv`` says; words behind the first that is no flag are ignored.

        Raises UsageError, BadConfig, and SystemExit 0 after ``--help`` or ``--version``.
        """
        switches = {_STRICT: False, "version": False} | dict.fromkeys(self.ignored, False)
        read = read_words(argv, self.flags, switches=switches, texts=("config",), show_help=self._show_help)
        if read.switches["version"]:
            sys.stdout.write(banner(self.program) + "\n")
            raise SystemExit(0)
        return Given(read.options, read.texts.get("config", ""), read.switches[_STRICT])

    def _show_help(self) -> NoReturn:
        sys.stderr.write(self.usage())
        raise SystemExit(0)

    def read_config(self, path: str) -> tuple[dict[str, object], list[str]]:
        """Options of a TOML file by field name, and a remark on each key in it that means nothing.

        Raises BadConfig.
        """
        table = config_file.read_table(path)
        found = config_file.read_options(table, self.flags.values(), self._first)
        known = {flag.key for flag in self.flags.values()}
        return found, [self._remark(key) for key in table if key not in known]

    def _remark(self, key: str) -> str:
        near = config_file.suggestion(key, self.flags.values())
        hint = f" (did you mean {near}?)" if near else ""
        return f"key {key} means nothing to {self.program}{hint}"

    def load(self, argv: Sequence[str]) -> Any:
        """The options object, logging configured by its ``log_level``, ``log_prefix`` and ``log_format``.

        Ends the process: status 0 after ``--help`` and ``--version``, 2 for a bad command line (its reason
        and the usage on stderr), 1 for a bad config file. Limits are not checked here: the daemon's start
        has an order for that.
        """
        remarks: list[str] = []
        try:
            given, config, strict = self.parse(argv)
            if config:
                from_file, remarks = self.read_config(config)
                given = from_file | given
            if strict and remarks:
                raise BadConfig(f"failed to load config file {config} - {'; '.join(remarks)}")
        except UsageError as e:
            sys.stderr.write(f"{e}\n{self.usage()}" + (f"\n{e.hint}\n" if e.hint else ""))
            raise SystemExit(2) from None
        except BadConfig as e:
            for line in (str(e), e.hint):
                if line and e.plain:
                    logs.plain(line)
                elif line:
                    logs.fatal(self.program, line)
            raise SystemExit(1) from None
        options = self.options(**given)
        logs.configure(options.log_prefix, options.log_level, options.log_format)
        for remark in remarks:
            log.warning("%s: %s, and is ignored", config, remark)
        return options
