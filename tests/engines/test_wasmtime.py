"""The wasmtime engine keeps the engine contract, contains what misbehaves, and trusts no cache."""

from collections.abc import Mapping
from pathlib import Path

from arts.migratable import prepare
from runtime.conformance import EngineContract
from runtime.engines.base import Engine
from runtime.engines.wasmtime import WasmtimeEngine

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "wasm-apps"
ROLES = {
    "hello": APPS / "hello/hello.wasm",
    "counter": APPS / "counter/counter.wasm",
    "stdinread": APPS / "stdinread/stdinread.wasm",
    "poll": APPS / "poll/poll.wasm",
    "echo": APPS / "echo/echo.wasm",
    "queens": APPS / "queens/queens.wasm",
    "spin": APPS / "faulty/spin.wasm",
    "trap": APPS / "faulty/trap.wasm",
    "signals": APPS / "faulty/signals.wasm",
    "flood": APPS / "faulty/flood.wasm",
    "hog": APPS / "faulty/hog.wasm",
    "probe": ROOT / "tests/engines/programs/probe.wasm",
}


class TestWasmtime(EngineContract):
    """Prepared programs."""

    @classmethod
    def make_engine(cls) -> Engine:
        return WasmtimeEngine()

    @classmethod
    def programs(cls) -> Mapping[str, bytes]:
        return {role: prepare(path.read_bytes()) for role, path in ROLES.items()}
