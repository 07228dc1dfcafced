"""``python -m runtime``: one runtime process, from the command line or for ``arts up``.

The shell of the shell: arguments, signals, which broker client and which engine. It ends with its
parent where asked, so that no orphan keeps modules alive.
"""

import argparse
import asyncio
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from arts.bus.mqtt import MqttBus
from arts.bus.probe import probe_takeover
from arts.bus.session import MqttSession
from arts.errors import ArtsError
from arts.log import configure, get_logger
from runtime.agent import Agent
from runtime.engines.wasmtime import WasmtimeEngine
from runtime.settings import RuntimeSettings

log = get_logger(__name__)


def main(settings: RuntimeSettings, *, exit_with_stdin: bool = False) -> int:
    """Be a runtime until SIGINT or SIGTERM; the exit status of the process.

    ``exit_with_stdin``: also end when stdin closes, as it does when the parent dies.
    """
    status = 0
    try:
        asyncio.run(_run(settings, exit_with_stdin))
    except* ArtsError as group:
        log.error("runtime.failed", errors=[str(error) for error in group.exceptions])
        status = 1
    return status


async def _run(settings: RuntimeSettings, exit_with_stdin: bool) -> None:
    def make_session(client_id: str) -> MqttSession:
        return MqttSession(settings.broker, client_id)

    agent = Agent(
        settings,
        make_bus=lambda client_id, will: MqttBus(settings.broker, client_id, will=will),
        make_session=make_session,
        engine=WasmtimeEngine(settings.data_dir / "compiled"),
        probe=None
        if settings.trust_broker
        else partial(probe_takeover, make_session, settings.realm),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, agent.stop)
    if exit_with_stdin:
        await _watch_stdin(agent)
    loop.set_exception_handler(lambda _, context: _die(context))
    await agent.run()


async def _watch_stdin(agent: Agent) -> None:
    class Watcher(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            agent.stop()

    await asyncio.get_running_loop().connect_read_pipe(Watcher, sys.stdin)


def _die(context: dict[str, Any]) -> None:
    """A callback failed in a way nobody foresaw: better no runtime than half a one."""
    error = context.get("exception")
    log.critical("runtime.bug", message=context["message"], exc_info=error)
    if error is not None:
        os._exit(70)


def _settings(arguments: list[str] | None = None) -> tuple[RuntimeSettings, argparse.Namespace]:
    parser = argparse.ArgumentParser(prog="python -m runtime", description="Run an ARTS runtime.")
    parser.add_argument("--broker", default="mqtt://127.0.0.1:1883")
    parser.add_argument("--realm", default="realm")
    parser.add_argument("--name", default="runtime")
    parser.add_argument("--uuid")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--max-nmodules", type=int)
    parser.add_argument("--keepalive", type=float)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--trust-broker", action="store_true")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--exit-with-stdin", action="store_true")
    options = parser.parse_args(arguments)
    settings = RuntimeSettings(
        data_dir=options.data_dir,
        realm=options.realm,
        broker=options.broker,
        name=options.name,
        uuid=options.uuid,
        trust_broker=options.trust_broker,
        labels=dict(label.split("=", 1) for label in options.label),
    )
    chosen = {
        name: getattr(options, name)
        for name in ("max_nmodules", "keepalive", "workers")
        if getattr(options, name) is not None
    }
    return replace(settings, **chosen), options


if __name__ == "__main__":
    chosen_settings, chosen_options = _settings()
    configure(chosen_options.log_level, realm=chosen_settings.realm, runtime=chosen_settings.name)
    sys.exit(main(chosen_settings, exit_with_stdin=chosen_options.exit_with_stdin))
