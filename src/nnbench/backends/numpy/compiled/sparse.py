"""The first layer over data that are mostly zeros, as images are: only what is not zero is touched.

`Entries` are the values of the data that are not zero, sample by sample, with their columns; where
they are is found once, before training. Within a batch they are sorted by column, so that each row
of `x^T d` is finished in one go. Four at a time everywhere: one pass over a row of the output for
four products. Indices are unsigned: of a signed one compiled code asks whether it counts from the
end, which took a tenth of the time.
"""

from __future__ import annotations

import numpy as np

from nnbench.backends.numpy.compiled.compiling import compiled
from nnbench.backends.numpy.layers import Array

# Sample s has values[starts[s] : starts[s + 1]], as they are stored, in these columns (uint32).
Entries = tuple[Array, Array, Array]
TILE = 256  # units of a kernel that are gone through with all samples, to stay in the cache


@compiled
def entries(data: Array) -> Entries:
    """Return starts `(n + 1,)`, columns and values of data `(n, k)`."""
    starts = np.zeros(len(data) + 1, np.int64)
    for s in range(len(data)):
        count = 0
        for value in data[s]:
            count += value != 0
        starts[s + 1] = starts[s] + count
    columns = np.empty(starts[-1], np.uint32)
    values = np.empty(starts[-1], data.dtype)
    place = 0
    for s in range(len(data)):
        for c in range(data.shape[1]):
            if data[s, c] != 0:
                columns[place], values[place] = c, data[s, c]
                place += 1
    return starts, columns, values


@compiled
def forward(found: Entries, rows: Array, scale: float, w: Array, bias: Array, z: Array) -> None:
    """Put `x w + b` into z `(n, units)`, x the samples `rows` times `scale`."""
    starts, columns, values = found
    n, units = z.shape
    kind = z.dtype.type
    factor = kind(scale)
    for left in range(0, units, TILE):
        width, begin = min(TILE, units - left), np.uint64(left)
        for s in range(n):
            out = z[s]
            for i in range(width):
                j = begin + np.uint64(i)
                out[j] = bias[j] if bias.size else kind(0)
            first, end = starts[rows[s]], starts[rows[s] + 1]
            whole = first + (end - first) // 4 * 4
            for e in range(first, whole, 4):
                a0, a1 = kind(values[e]) * factor, kind(values[e + 1]) * factor
                a2, a3 = kind(values[e + 2]) * factor, kind(values[e + 3]) * factor
                c0, c1, c2, c3 = columns[e], columns[e + 1], columns[e + 2], columns[e + 3]
                for i in range(width):
                    j = begin + np.uint64(i)
                    out[j] += a0 * w[c0, j] + a1 * w[c1, j] + a2 * w[c2, j] + a3 * w[c3, j]
            for e in range(whole, end):
                a, c = kind(values[e]) * factor, columns[e]
                for i in range(width):
                    j = begin + np.uint64(i)
                    out[j] += a * w[c, j]


@compiled
def by_column(
    found: Entries, rows: Array, scale: float, ends: Array, samples: Array, factors: Array
) -> None:
    """Sort the entries of the samples `rows` by column.

    Those of column c are then at `ends[c - 1]` to `ends[c]` (the first from 0): `samples`, counted
    within the batch, and `factors`, their values times `scale`. ends `(k,)`.
    """
    starts, columns, values = found
    scaled = factors.dtype.type(scale)
    ends[:] = 0
    for s in range(len(rows)):
        for e in range(starts[rows[s]], starts[rows[s] + 1]):
            ends[columns[e]] += 1
    total = 0
    for c in range(len(ends)):
        count = ends[c]
        ends[c] = total
        total += count
    for s in range(len(rows)):
        for e in range(starts[rows[s]], starts[rows[s] + 1]):
            place = ends[columns[e]]
            samples[place] = s
            factors[place] = factors.dtype.type(values[e]) * scaled
            ends[columns[e]] = place + 1


@compiled
def add_row(
    ends: Array, samples: Array, factors: Array, column: int, scale: float, d: Array, out: Array
) -> None:
    """Add row `column` of `x^T d`, times `scale`, to out `(units,)`; d `(n, units)`."""
    first = ends[column - 1] if column else 0
    end, units, by = ends[column], len(out), out.dtype.type(scale)
    whole = first + (end - first) // 4 * 4
    for e in range(first, whole, 4):
        a0, a1, a2, a3 = factors[e], factors[e + 1], factors[e + 2], factors[e + 3]
        a0, a1, a2, a3 = by * a0, by * a1, by * a2, by * a3
        s0, s1, s2, s3 = samples[e], samples[e + 1], samples[e + 2], samples[e + 3]
        for j in range(units):
            out[j] += a0 * d[s0, j] + a1 * d[s1, j] + a2 * d[s2, j] + a3 * d[s3, j]
    for e in range(whole, end):
        a, s = by * factors[e], samples[e]
        for j in range(units):
            out[j] += a * d[s, j]


@compiled
def add_all(found: Entries, rows: Array, scale: float, d: Array, out: Array) -> None:
    """Add `x^T d` to out `(k, units)`, sample by sample, x the samples `rows` times `scale`.

    For a single sample, or an `out` that stays in the cache.
    """
    starts, columns, values = found
    units, factor = out.shape[1], out.dtype.type(scale)
    for s in range(len(rows)):
        error = d[s]
        for e in range(starts[rows[s]], starts[rows[s] + 1]):
            a, row = out.dtype.type(values[e]) * factor, out[columns[e]]
            for j in range(units):
                row[j] += a * error[j]


@compiled
def descend(ends: Array, samples: Array, factors: Array, rate: float, d: Array, w: Array) -> None:
    """Subtract `rate x^T d` from w `(k, units)`; rows that meet zeros alone are not touched."""
    for column in range(len(w)):
        if ends[column] > (ends[column - 1] if column else 0):
            add_row(ends, samples, factors, column, -rate, d, w[column])
