"""The kernels compute what they say: compared with numpy, which computes it in other ways."""

from collections.abc import Callable

import numpy as np
import pytest
from plain_wasi import Run

N = 23


class Numbers:
    """The sequence from which kernels fill their matrices."""

    def __init__(self) -> None:
        self.seed = 1

    def __call__(self, *shape: int) -> np.ndarray:
        values = []
        for _ in range(int(np.prod(shape))):
            self.seed = (self.seed * 1664525 + 1013904223) % 2**32
            values.append((self.seed >> 8) / 2**24)
        return np.array(values).reshape(shape)

    def dominant(self) -> np.ndarray:
        return self(N, N) + N * np.eye(N)


def two_products(numbers: Numbers) -> np.ndarray:
    a, b, c, d = (numbers(N, N) for _ in range(4))
    return a @ b @ c + d


def three_products(numbers: Numbers) -> np.ndarray:
    a, b, c, d = (numbers(N, N) for _ in range(4))
    return (a @ b) @ (c @ d)


def atax(numbers: Numbers) -> np.ndarray:
    a, x = numbers(N, N), numbers(N)
    return a.T @ (a @ x)


def bicg(numbers: Numbers) -> np.ndarray:
    a, r, p = numbers(N, N), numbers(N), numbers(N)
    return np.concatenate([a.T @ r, a @ p])


def cholesky(numbers: Numbers) -> np.ndarray:
    a = numbers.dominant()
    lower = np.tril(a)
    symmetric = lower + lower.T - np.diag(np.diag(lower))
    return np.linalg.cholesky(symmetric) + np.triu(a, 1)


def correlation(numbers: Numbers) -> np.ndarray:
    return np.corrcoef(numbers(N, N), rowvar=False)


def covariance(numbers: Numbers) -> np.ndarray:
    return np.cov(numbers(N, N), rowvar=False)


def doitgen(numbers: Numbers) -> np.ndarray:
    return numbers(N, N, N) @ numbers(N, N)


def durbin(numbers: Numbers) -> np.ndarray:
    r = numbers(N) / (4 * np.arange(1, N + 1))
    diagonals = np.concatenate([[1], r[:-1]])
    toeplitz = diagonals[np.abs(np.subtract.outer(np.arange(N), np.arange(N)))]
    return np.linalg.solve(toeplitz, -r)


def floyd_warshall(numbers: Numbers) -> np.ndarray:
    way = numbers(N, N)
    for k in range(N):
        way = np.minimum(way, way[:, k : k + 1] + way[k : k + 1, :])
    return way


def gemm(numbers: Numbers) -> np.ndarray:
    a, b, c = (numbers(N, N) for _ in range(3))
    return 1.5 * a @ b + 1.2 * c


def gemver(numbers: Numbers) -> np.ndarray:
    a = numbers(N, N)
    u1, v1, u2, v2, y, z = (numbers(N) for _ in range(6))
    a = 0.5 * a + np.outer(u1, v1) + np.outer(u2, v2)
    x = (1.2 / N * a.T @ y + z) / 2
    return 1.5 / N * a @ x


def gramschmidt(numbers: Numbers) -> np.ndarray:
    r = np.linalg.qr(numbers.dominant())[1]
    return r * np.sign(np.diag(r))[:, None]


def smoothed(a: np.ndarray) -> np.ndarray:
    new = a.copy()
    neighbours = a[1:-1, :-2] + a[1:-1, 2:] + a[:-2, 1:-1] + a[2:, 1:-1]
    new[1:-1, 1:-1] = 0.2 * (a[1:-1, 1:-1] + neighbours)
    return new


def jacobi(numbers: Numbers) -> np.ndarray:
    a, b = numbers(N, N), numbers(N, N)
    b[1:-1, 1:-1] = smoothed(a)[1:-1, 1:-1]
    a[1:-1, 1:-1] = smoothed(b)[1:-1, 1:-1]
    return a


def lu(numbers: Numbers) -> np.ndarray:
    a = numbers.dominant()
    for k in range(N):
        a[k + 1 :, k] /= a[k, k]
        a[k + 1 :, k + 1 :] -= np.outer(a[k + 1 :, k], a[k, k + 1 :])
    return a


def mvt(numbers: Numbers) -> np.ndarray:
    a, y, w = numbers(N, N), numbers(N), numbers(N)
    return np.concatenate([a @ y, a.T @ w])


def seidel(numbers: Numbers) -> np.ndarray:
    a = numbers(N, N)
    for i in range(1, N - 1):
        for j in range(1, N - 1):
            a[i, j] = a[i - 1 : i + 2, j - 1 : j + 2].mean()
    return a


def syrk(numbers: Numbers) -> np.ndarray:
    a, c = numbers(N, N), numbers(N, N)
    return np.tril(1.5 * a @ a.T + 1.2 * c) + np.triu(c, 1)


def trisolv(numbers: Numbers) -> np.ndarray:
    lower, b = np.tril(numbers.dominant()), numbers(N)
    return np.linalg.solve(lower, b)


@pytest.mark.parametrize(
    ("kernel", "arguments", "expected"),
    [
        ("2mm", [N], two_products),
        ("3mm", [N], three_products),
        ("atax", [N, 2], atax),
        ("bicg", [N, 2], bicg),
        ("cholesky", [N], cholesky),
        ("correlation", [N], correlation),
        ("covariance", [N], covariance),
        ("doitgen", [N], doitgen),
        ("durbin", [N], durbin),
        ("floyd-warshall", [N], floyd_warshall),
        ("gemm", [N], gemm),
        ("gemver", [N, 1], gemver),
        ("gramschmidt", [N], gramschmidt),
        ("jacobi-2d", [N, 1], jacobi),
        ("lu", [N], lu),
        ("mvt", [N, 1], mvt),
        ("seidel-2d", [N, 1], seidel),
        ("syrk", [N], syrk),
        ("trisolv", [N, 2], trisolv),
    ],
)
def test_a_kernel_agrees_with_numpy(
    run: Callable[..., Run],
    kernel: str,
    arguments: list[int],
    expected: Callable[[Numbers], np.ndarray],
) -> None:
    ended = run(f"polybench/{kernel}", *arguments)
    assert ended.code == 0
    name, checksum = ended.out.split()
    values = expected(Numbers()).ravel()
    assert name == kernel
    assert float(checksum) == pytest.approx(float(values @ (np.arange(values.size) % 7 + 1)))


def most_pairs(bases: list[int]) -> int:
    """The most pairs of bases that sum to 3, none of which cross, by the textbook recursion."""
    n = len(bases)
    best = np.zeros((n + 1, n + 1), int)
    for length in range(2, n + 1):
        for i in range(n - length + 1):
            j = i + length
            inner = best[i + 1][j - 1] + (length > 2 and bases[i] + bases[j - 1] == 3)
            best[i][j] = max(inner, *(best[i][k] + best[k][j] for k in range(i + 1, j)))
    return int(best[0][n])


def test_nussinov_finds_the_most_pairs(run: Callable[..., Run]) -> None:
    bases = [int(4 * value) for value in Numbers()(N)]
    assert run("polybench/nussinov", N).lines == [f"nussinov {most_pairs(bases)}"]
    assert most_pairs(bases) > 3
