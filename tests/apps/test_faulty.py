"""Each misbehaving program misbehaves in exactly the way that tests elsewhere rely on."""

from collections.abc import Callable

import pytest
import wasmtime
from plain_wasi import Run, module_path

MIB = 1024 * 1024


def imports(engine: wasmtime.Engine, program: str) -> set[str | None]:
    """The names of the host functions that a program needs."""
    module = wasmtime.Module(engine, module_path(program).read_bytes())
    return {needed.name for needed in module.imports}


def test_trap_prints_and_then_traps(run: Callable[..., Run]) -> None:
    ended = run("faulty/trap")
    assert (ended.trap, ended.out) == (wasmtime.TrapCode.UNREACHABLE, "about to trap\n")


def test_exit_code_is_three(run: Callable[..., Run]) -> None:
    assert run("faulty/exit-code").code == 3


def test_spin_never_ends_and_never_calls_its_host(
    run: Callable[..., Run], engine: wasmtime.Engine
) -> None:
    assert run("faulty/spin", fuel=1_000_000).trap is wasmtime.TrapCode.OUT_OF_FUEL
    assert imports(engine, "faulty/spin") == {"proc_exit"}


@pytest.mark.parametrize("limit_mib", [4, 16])
def test_hog_takes_and_touches_all_the_memory_there_is(
    run: Callable[..., Run], limit_mib: int
) -> None:
    ended = run("faulty/hog", memory_bytes=limit_mib * MIB)
    assert (ended.code, ended.out) == (1, f"malloc failed after {limit_mib - 1} MB\n")
    pages = [ended.memory[i : i + 4096] for i in range(0, len(ended.memory), 4096)]
    assert sum(map(any, pages)) * 4096 > (limit_mib - 1) * 1_000_000


def test_flood_prints_without_end(run: Callable[..., Run]) -> None:
    ended = run("faulty/flood", fuel=10_000_000)
    assert ended.trap is wasmtime.TrapCode.OUT_OF_FUEL
    assert len(ended.lines) > 1000
    whole = ended.lines[:-1]
    assert whole == [f"flood {i}" for i in range(1, len(whole) + 1)]


def test_badimport_cannot_be_instantiated(run: Callable[..., Run]) -> None:
    with pytest.raises(wasmtime.WasmtimeError, match="env::nope"):
        run("faulty/badimport")


def test_notwasm_is_refused(engine: wasmtime.Engine) -> None:
    content = module_path("faulty/notwasm").read_bytes()
    assert content.isascii()
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Module.validate(engine, content)


def test_startsection_runs_before_start(run: Callable[..., Run]) -> None:
    ended = run("faulty/startsection")
    assert (ended.code, ended.out) == (0, "started\nmain\n")


def test_externref_runs_where_nothing_has_to_move(run: Callable[..., Run]) -> None:
    ended = run("faulty/externref")
    assert (ended.code, ended.out) == (0, "main\n")


def test_tables_calls_what_it_has_put_into_its_table(run: Callable[..., Run]) -> None:
    ended = run("faulty/tables")
    assert (ended.code, ended.out) == (0, "old\nnew\n")


def test_signals_says_bye_at_term(run: Callable[..., Run]) -> None:
    ended = run("faulty/signals", files={"sys/signals": b"USR1\nTERM\nUSR2\n"})
    assert (ended.code, ended.out) == (0, "signal: USR1\nbye\n")


def test_signals_without_a_term_fails(run: Callable[..., Run]) -> None:
    assert run("faulty/signals", files={"sys/signals": b"USR1\n"}).code == 1
