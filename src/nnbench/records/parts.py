"""The parts of a record that are plain mappings: what others rely on in them, and may find there.

Other keys are allowed, if what they hold is plain data. An older record may lack what is not
required.
"""

from __future__ import annotations

from typing import Annotated, Any, Required, TypedDict

from nnbench.schema.limits import UNKNOWN, Text, at_least

Count = Annotated[int, at_least(1)]
Size = Annotated[int, at_least(0)]
Figure = Annotated[float, UNKNOWN]
Label = Annotated[str, Text(200, "printable text")]
Known = Label | None


class Named(TypedDict, total=False):
    """A group of settings and the option chosen."""

    name: Label


class Backend(TypedDict, total=False):
    """The backend that was used; `executions` are those there are, the best one first."""

    name: Required[Label]
    execution: Required[Label]
    executions: Required[list[Label]]
    engine: Known
    origin: Known
    packages: list[Label]
    env: list[str]


class Data(TypedDict, total=False):
    """The settings of the data."""

    name: Label
    path: str | None


class Tracking(TypedDict, total=False):
    """The settings of tracking."""

    name: Label
    uri: str | None
    experiment: Known


class Config(TypedDict, total=False):
    """A resolved configuration."""

    backend: Required[Backend]
    arch: Named
    data: Data
    init: Named
    loss: Named
    optimizer: Named
    schedule: Named
    device: Named
    tracking: Tracking
    task: Label
    semantics: Label
    dtype: Label
    seed: int
    epochs: Count
    batch_size: Count
    drop_last: bool
    gradient_accumulation_steps: Count
    threads: Count
    results: str
    name: str | None
    case: str | None


class Inputs(TypedDict, total=False):
    """What a sample is."""

    shape: list[Size]
    dtype: Label
    scale: float


class DataFacts(TypedDict, total=False):
    """The data that were loaded."""

    name: Label
    digests: dict[str, str | None]
    inputs: Inputs
    outputs: Count
    target_scale: dict[str, list[float]]
    samples: dict[str, Size]
    payload_digest: str | None
    guessed: dict[str, Any]


class Cores(TypedDict, total=False):
    """How many cores."""

    physical: int | None
    usable: int | None


class Threads(TypedDict, total=False):
    """How many threads computed."""

    in_use: int | None
    environment: dict[str, str]


class Pool(TypedDict, total=False):
    """A BLAS library."""

    library: Known
    num_threads: int | None


class Source(TypedDict, total=False):
    """What the backend was."""

    package: Known
    version: Known
    digest: Known
    imports: dict[str, Known]


class Machine(TypedDict, total=False):
    """What the run took place on."""

    cpu: Known
    gpu: Known
    gpu_driver: Known
    platform: Known
    python: Known
    hostname: Known
    blas_kernel: Known
    commit: Known
    source_digest: Known
    cores: Cores | None
    threads: Threads | None
    blas: list[Pool] | None
    backend_source: Source | None
    versions: dict[str, Known] | None
    environment: dict[str, str]
    memory_bytes: int | None


class Parity(TypedDict, total=False):
    """A certificate, as data."""

    outcome: Required[Label]
    text: Required[str]
    reference: Required[Known]
    difference: Required[list[Figure]]
    envelope: Required[list[Figure]]
    word: str
    doubt: str | None
    figures: dict[str, Any] | None


class Mirrored(TypedDict, total=False):
    """Where the run is in MLflow, or why it is not."""

    mlflow_run_id: Known
    experiment_id: Known
    experiment: Known
    uri: str | None
    error: str
    seconds: float


SHAPES: dict[str, Any] = {
    "config": Config, "data": DataFacts, "machine": Machine, "tracking": Mirrored,
    "parity": Parity | None, "choices": dict[str, Any],
}  # fmt: skip
