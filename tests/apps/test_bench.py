"""The benchmark programs compute the right answers: a fast wrong program measures nothing."""

import hashlib
from collections.abc import Callable

import pytest
from plain_wasi import Run


def sorted_checksum(count: int) -> int:
    """What `sort` prints: the polynomial checksum of the same numbers, sorted by Python."""
    values, seed = [], 1
    for _ in range(count):
        seed = (seed * 1664525 + 1013904223) % 2**32
        values.append(seed)
    checksum = 0
    for value in sorted(values):
        checksum = (checksum * 31 + value) % 2**32
    return checksum


def trace(n: int) -> int:
    """The trace of the product that `matmul` computes."""
    return sum((i * n + k) % 7 * ((k * n + i) % 11) for i in range(n) for k in range(n))


def mandelbrot_iterations(n: int) -> int:
    """The iterations that `mandelbrot` sums up, with Python's complex numbers."""
    total = 0
    for row in range(n):
        for column in range(n):
            point, z = complex(3.0 * column / n - 2, 2.0 * row / n - 1), 0j
            for _ in range(100):
                if z.real**2 + z.imag**2 > 4:
                    break
                z = z * z + point
                total += 1
    return total


@pytest.mark.parametrize(
    ("program", "size", "expected"),
    [
        ("nbody", 1000, "nbody -0.169087605"),
        ("sha256", 3, "sha256 " + hashlib.sha256(bytes(range(256)) * 12).hexdigest()),
        ("fannkuch", 7, "fannkuch 228 16"),
        ("sort", 5000, f"sort {sorted_checksum(5000)}"),
        ("matmul", 30, f"matmul {trace(30)}"),
        ("queens", 8, "queens 92"),
        ("sieve", 1000, "sieve 168"),
        ("mandelbrot", 24, f"mandelbrot {mandelbrot_iterations(24)}"),
        # 32 trees of 31 nodes and 2 of 511, and one of 1,023 that stays
        ("binary-trees", 9, f"binary-trees {32 * 31 + 2 * 511} 1023"),
    ],
)
def test_result(run: Callable[..., Run], program: str, size: int, expected: str) -> None:
    ended = run(f"bench/{program}", size)
    assert (ended.code, ended.lines) == (0, [expected])
