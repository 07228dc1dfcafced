"""The forms of a program that run side by side in wasmtime, and how each is made and run.

All run under the engine's own WASI and with the configuration of our runtime, so that nothing but
the form differs.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import wasmtime

from arts import migratable
from arts.bench.engine.asyncify import asyncified
from arts.bench.engine.polls import with_polls
from arts.migratable import Options, Profile

_PLENTY: Final = 1 << 60
_NEVER: Final = 1 << 40


@dataclass(frozen=True)
class Form:
    """``make`` may raise Missing or Refused: then the program does not have this form."""

    name: str
    meaning: str
    make: Callable[[bytes], bytes]
    epochs: bool = False
    fuel: bool = False


PLAIN: Final = "plain"
RESPONSIVE: Final = "responsive"
THROUGHPUT: Final = "throughput"

FORMS: Final = (
    Form(PLAIN, "as it came", bytes),
    Form(RESPONSIVE, "prepared; a poll in every loop", migratable.prepare),
    Form(
        THROUGHPUT,
        "prepared; a poll outside nests of loops without calls",
        lambda wasm: migratable.prepare(wasm, Options.of(Profile.THROUGHPUT)),
    ),
    Form(
        "blocking_only",
        "prepared; no polls, stops in host calls",
        lambda wasm: migratable.prepare(wasm, Options.of(Profile.BLOCKING_ONLY)),
    ),
    Form("polls", "a poll in every loop and nothing else; cannot stop", with_polls),
    Form("asyncify", "a poll in every loop; stops by Binaryen's Asyncify", asyncified),
    Form("epochs", "wasmtime's epochs; stops, cannot be captured", bytes, epochs=True),
    Form("fuel", "wasmtime's fuel; likewise", bytes, fuel=True),
)


class Compiled:
    """A form of a program, ready to run. ``compiling``: CPU seconds that it took."""

    def __init__(self, form: Form, wasm: bytes) -> None:
        self.form = form
        self.engine = wasmtime.Engine(configuration(form.epochs, form.fuel))
        begin = time.process_time()
        self.module = wasmtime.Module(self.engine, wasm)
        self.compiling = time.process_time() - begin

    def run(self, arguments: tuple[str, ...]) -> float:
        """CPU seconds of this thread that one run takes, in a fresh instance."""
        store = wasmtime.Store(self.engine)
        if self.form.epochs:
            store.set_epoch_deadline(_NEVER)
        if self.form.fuel:
            store.set_fuel(_PLENTY)
        return run_once(store, self.module, arguments)


def run_once(store: wasmtime.Store, module: wasmtime.Module, arguments: tuple[str, ...]) -> float:
    """CPU seconds of ``_start``, under the engine's own WASI. Raises if it fails."""
    linker = wasmtime.Linker(store.engine)
    linker.define_wasi()
    config = wasmtime.WasiConfig()
    config.argv = ["program", *arguments]
    config.stdout_file = os.devnull
    store.set_wasi(config)
    start = linker.instantiate(store, module).exports(store)["_start"]
    assert isinstance(start, wasmtime.Func)
    begin = time.thread_time()
    try:
        start(store)
    except wasmtime.ExitTrap as exited:
        if exited.code:
            raise
    return time.thread_time() - begin


def configuration(epochs: bool = False, fuel: bool = False) -> wasmtime.Config:
    """As our runtime configures its engine, as far as it matters here."""
    config = wasmtime.Config()
    config.wasm_threads = True
    config.wasm_exceptions = True
    config.wasm_multi_memory = True
    config.wasm_tail_call = True
    config.memory_may_move = False
    config.epoch_interruption = epochs
    config.consume_fuel = fuel
    return config
