"""The benchmarks run, small, and say what they must: the figures themselves are nobody's test."""

import json

import pytest
from typer.testing import CliRunner

from arts.cli import app

CASES = {
    "control-plane": (
        ["--runtimes", "3", "--seconds", "0.2", "--burst", "20", "--samples", "5"],
        {
            "sustained_creates_per_s",
            "burst_creates_per_s",
            "forward_p50_ms",
            "forward_p99_ms",
            "echo_p50_ms",
        },
    ),
    "migration": (
        ["--moves", "2", "--crowds", "2"],
        {
            *("downtime_p50_ms", "downtime_p99_ms", "pause_p99_ms", "snapshot_bytes"),
            *("crowd_2_seconds", "crowd_2_downtime_p50_ms", "crowd_2_downtime_p99_ms"),
        },
    ),
    "checkpoint": (
        [
            *("--checkpoints", "2", "--sizes", "0.0625", "--rates", "1"),
            *("--interval", "0.1", "--seconds", "0.2"),
        ],
        {
            *("stood_p50_ms_of", "stood_p99_ms_of", "sent_bytes_of", "every_s_of"),
            *("gap_p50_ms_of", "undisturbed_gap_p99_ms_of", "messages_per_s_of"),
        },
    ),
    "protocol": (
        ["--messages", "5", "--runs", "1"],
        {
            *("native_us", "arts_us", "silverline2022_us", "silverline_us", "arena_us"),
            *("most_us", "arena_decode_us", "arena_forward_us", "arena_answer_us"),
        },
    ),
    "engine": (
        ["--quick", "--programs", "queens,lua", "--runs", "1", "--parked", "10"],
        {
            "overhead_geomean",
            "overhead",
            "throughput_overhead_geomean",
            "blocking_only_overhead_geomean",
            "polls_overhead_geomean",
            "epochs_overhead_geomean",
            "fuel_overhead_geomean",
            "interpreter_overhead_geomean",
            "v8_overhead_geomean",
            "v8_throughput_overhead_geomean",
            "v8_countdown_overhead_geomean",
            "v8_interpreter_overhead_geomean",
            "code_growth_geomean",
            "compile_time_geomean",
            "prepared_rss_mb",
            "pause_p99_ms",
            "throughput_longest_pause_ms",
            "resumed_overhead_max",
            "restore_cold_max_ms",
            "interpreter_restore_warm_max_ms",
            "cached_start_ms",
            "rss_parked_10_mb",
        },
    ),
    "reference": (
        ["--names", "nbody,sqlite", "--moves", "1"],
        {
            *("snapshot_bytes_of", "capture_ms_of", "restore_warm_ms_of", "restore_cold_ms_of"),
            *("resumed_overhead", "overhead"),
        },
    ),
    "programs": (
        ["--names", "cxx-legacy,rust", "--moves", "2", "--requests", "5"],
        {
            "toolchain",
            "bytes",
            "prepared_bytes",
            "prepare_cpu_seconds",
            "code_bytes",
            "functions",
            "suspendable",
            "pause_p50_ms",
            "pause_p99_ms",
            "pause_cpu_p99_ms",
            "overhead",
            "v8_overhead",
            "snapshot_raw_bytes",
            "snapshot_elided_bytes",
            "snapshot_compressed_bytes",
            "stack_bytes",
            "stack_points",
            "restore_cold_ms",
            "restore_cold_cpu_ms",
            "restore_warm_cpu_ms",
            "restore_warm_ms",
        },
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CASES)
def test_a_benchmark_is_one_flat_object_with_its_keys(name: str) -> None:
    arguments, keys = CASES[name]
    if name in ("control-plane", "migration", "checkpoint"):
        arguments = [*arguments, "--broker", "embedded"]
    result = CliRunner().invoke(app, ["bench", name, *arguments, "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert keys <= figures.keys()
    assert all(figures[key] for key in keys)
