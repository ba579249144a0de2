"""Scikit-learn's 1,797 handwritten digits of 8x8 pixels, read without importing scikit-learn."""

from __future__ import annotations

import numpy as np

from nnbench.data.config import Digits
from nnbench.data.dataset import Split
from nnbench.data.packaged import PackagedTable
from nnbench.data.prepare import Payload

TABLE = PackagedTable(
    dataset="digits",
    module="sklearn",
    file="datasets/data/digits.csv.gz",
    distribution="scikit-learn",
    shape=(1797, 65),
    sha256="68aea062d35a127749050fa0e52dca09d6569ac08092c925610e0954e172dde2",
)


def read(config: Digits) -> Payload:
    """Return the digits; inputs uint8 `(1797, 8, 8)` from 0 to 16.

    Raises DataError where they are missing or damaged.
    """
    table = TABLE.read()
    whole = Split(table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64))
    return Payload({"all": whole}, TABLE.sha256, "data=digits", 1.0 / 16.0, config.test_fraction)
