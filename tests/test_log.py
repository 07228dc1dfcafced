"""What a log line looks like, from our loggers and from those of libraries."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from arts.log import configure, get_logger


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The root logger as it was."""
    root = logging.getLogger()
    before = root.handlers, root.level
    yield
    root.handlers, _ = before
    root.setLevel(before[1])
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What was logged as JSON."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_has_the_event_its_fields_and_the_context(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("info", "json", realm="realm")
    get_logger("arts.x").info("module.placed", module="u1", generation=2)
    (line,) = lines(capsys)
    assert line["event"] == "module.placed"
    assert (line["realm"], line["module"], line["generation"]) == ("realm", "u1", 2)
    assert (line["level"], line["logger"]) == ("info", "arts.x")
    assert str(line["timestamp"]).endswith("Z")


def test_libraries_log_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json", realm="realm")
    logging.getLogger("paho").warning("lost %s", "it")
    (line,) = lines(capsys)
    assert (line["event"], line["realm"], line["logger"]) == ("lost it", "realm", "paho")


def test_lower_levels_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", "json")
    log = get_logger("arts.x")
    log.info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_error_shows_its_traceback_but_no_variables(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    configure("info", log_format)  # type: ignore[arg-type]
    password = "not to be " + "seen"
    try:
        raise ValueError("broken")
    except ValueError as error:
        get_logger("arts.x").error("it.failed", exc_info=error)
    text = capsys.readouterr().err
    assert "ValueError: broken" in text
    assert password not in text


def test_auto_is_json_where_nobody_reads(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "auto")
    get_logger("arts.x").info("hello")
    assert lines(capsys)[0]["event"] == "hello"


def test_an_unconfigured_process_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    get_logger("arts.unconfigured").info("nothing to see")
    captured = capsys.readouterr()
    assert captured.out == ""
