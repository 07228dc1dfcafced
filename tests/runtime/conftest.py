"""The real engine with the example programs in their migratable form, and runtimes on them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arts.migratable import NotWasm, Refused, prepare
from runtime.engines.wasmtime import WasmtimeEngine
from tests.runtime.fleet import Fleet
from tests.support.ballast import ballast
from tests.support.broker import broker, embedded, mosquitto, own_broker

__all__ = ["broker", "embedded", "mosquitto", "own_broker"]

APPS = Path(__file__).parents[2] / "wasm-apps"
NAMES = (
    "hello",
    "counter",
    "dirty",
    "echo",
    "queens",
    "stdinread",
    "faulty/flood",
    "faulty/notwasm",
    "faulty/signals",
    "faulty/spin",
    "faulty/trap",
)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> WasmtimeEngine:
    """One for all tests of a process: it compiles each program once."""
    return WasmtimeEngine(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="session")
def programs() -> dict[str, bytes]:
    """Example programs by name, as the supervisor would serve them."""
    prepared = {name: _prepared(name) for name in NAMES}
    return prepared | {
        "counter, not prepared": _source("counter"),
        "ballast": prepare(ballast()),
    }


def _source(name: str) -> bytes:
    path = APPS / f"{name}.wasm" if "/" in name else APPS / name / f"{name}.wasm"
    return path.read_bytes()


def _prepared(name: str) -> bytes:
    data = _source(name)
    try:
        return prepare(data)
    except (Refused, NotWasm):
        return data


@pytest.fixture
async def fleet(
    engine: WasmtimeEngine, programs: dict[str, bytes], tmp_path: Path
) -> AsyncIterator[Fleet]:
    """No runtime yet: a test starts those it wants."""
    async with Fleet(engine, programs, tmp_path) as fleet:
        yield fleet
