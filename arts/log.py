"""Structured logging: constant event names, facts as fields, one line each, on stderr.

    log = get_logger(__name__)
    log.info("module.placed", module=uuid, runtime=name, generation=3)

Fields that mean the same are called the same everywhere: ``realm, module, runtime, migration,
object_id, generation``. Loggers are stdlib loggers underneath: unless a process calls
``configure``, nobody's logging is touched. This file does not know what is worth logging.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any, Final, Literal, TextIO, cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import Processor

LogFormat = Literal["auto", "console", "json"]
"""``auto`` is ``console`` on a terminal and ``json`` elsewhere."""

_TIMESTAMP: Final = structlog.processors.TimeStamper(fmt="iso", utc=True)
_COMMON: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    _TIMESTAMP,
]


def get_logger(name: str) -> BoundLogger:
    """The logger of a module; ``name`` is its ``__name__``."""
    wrapped = structlog.wrap_logger(
        logging.getLogger(name),
        wrapper_class=BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            *_COMMON,
            ProcessorFormatter.wrap_for_formatter,
        ],
    )
    return cast("BoundLogger", wrapped)


class Allowance:
    """So many lines in so many seconds, for what strangers can make us say."""

    def __init__(self, lines: int, seconds: float, clock: Callable[[], float]) -> None:
        self._lines, self._seconds, self._clock = lines, seconds, clock
        self._since, self._said, self._unsaid = clock(), 0, 0

    def take(self) -> int | None:
        """None: say nothing. Otherwise how often nothing was said before this line."""
        now = self._clock()
        if now >= self._since + self._seconds:
            self._since, self._said = now, 0
        if self._said >= self._lines:
            self._unsaid += 1
            return None
        self._said += 1
        unsaid, self._unsaid = self._unsaid, 0
        return unsaid


def configure(level: str = "info", log_format: LogFormat = "auto", **context: Any) -> None:
    """Send everything of this process from ``level`` on to stderr. Replaces earlier handlers.

    ``context`` (e.g. ``realm="realm"``) is added to every line that starts in this task.
    """
    handler = _StderrHandler()
    if log_format == "auto":
        log_format = "console" if sys.stderr.isatty() else "json"
    handler.setFormatter(_console() if log_format == "console" else _json())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**context)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever ``sys.stderr`` is at that moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def _console() -> ProcessorFormatter:
    # The pretty tracebacks print local variables: passwords too.
    return _formatter(
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )


def _json() -> ProcessorFormatter:
    return _formatter(
        structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)
    )


def _formatter(*processors: Processor) -> ProcessorFormatter:
    return ProcessorFormatter(
        foreign_pre_chain=_COMMON,
        processors=[ProcessorFormatter.remove_processors_meta, *processors],
    )
