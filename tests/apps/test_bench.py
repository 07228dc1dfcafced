"""The benchmark programs compute the right answers: a fast wrong program measures nothing."""

import hashlib
from collections.abc import Callable

import numpy as np
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


def linpack_matrix(n: int) -> np.ndarray:
    """The numbers that `linpack` generates, column after column."""
    values, seed = [], 1325
    for _ in range(n * n):
        seed = 3125 * seed % 65536
        values.append((seed - 32768) / 16384)
    return np.array(values).reshape(n, n).T


def linpack_residual(n: int) -> float:
    """What `linpack` prints, to the last bit: every number is rounded in the same order."""
    a = linpack_matrix(n)
    x = np.add.accumulate(a, axis=1)[:, -1]
    for k in range(n):
        pivot = k + np.argmax(np.abs(a[k:, k]))
        a[[k, pivot], k:] = a[[pivot, k], k:]
        x[[k, pivot]] = x[[pivot, k]]
        a[k + 1 :, k] *= -1 / a[k, k]
        a[k + 1 :, k + 1 :] += a[k + 1 :, [k]] * a[k, k + 1 :]
        x[k + 1 :] += x[k] * a[k + 1 :, k]
    for k in reversed(range(n)):
        x[k] /= a[k, k]
        x[:k] -= x[k] * a[:k, k]
    a = linpack_matrix(n)
    rest = np.add.accumulate(a, axis=1)[:, -1]
    for k in range(n):
        rest -= x[k] * a[:, k]
    scale = n * np.max(a) * np.max(np.abs(x)) * np.finfo(float).eps
    return float(np.max(np.abs(rest)) / scale)


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
        ("linpack", 100, f"linpack {linpack_residual(100):.6f} 100.000000"),
    ],
)
def test_result(run: Callable[..., Run], program: str, size: int, expected: str) -> None:
    ended = run(f"bench/{program}", size)
    assert (ended.code, ended.lines) == (0, [expected])
