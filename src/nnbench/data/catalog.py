"""What data sets there are, which are usable here, and how to bring those that are not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from nnbench.data import bundled, cifar10, digits, mnist, mnist_5k
from nnbench.data.packaged import located
from nnbench.errors import ConfigError, DataError
from nnbench.schema import suggest
from nnbench.schema.deferred import dataclass
from nnbench.schema.progress import Tell, counted, nobody


@dataclass(frozen=True)
class Availability:
    """Whether a data set is usable here and now without a network.

    `where` says where it was found; `remedy`, empty if usable, what to do about it.
    """

    name: str
    description: str
    usable: bool
    where: str
    remedy: str = ""


FETCHES: dict[str, Callable[[Tell], Path]] = {
    "mnist_5k": mnist_5k.fetch,
    "mnist": mnist.MNIST.fetch,
    "fashion_mnist": mnist.FASHION_MNIST.fetch,
    "cifar10": cifar10.fetch,
}


def available(tell: Tell = nobody) -> list[Availability]:
    """Return the state of every data set; files are verified, not only seen."""
    return [look() for look in counted(_looks(), tell, "checking data set")]


def _looks() -> list[Callable[[], Availability]]:
    """Return what looks for each data set."""
    return [
        _mnist_5k,
        partial(_idx, mnist.MNIST, "MNIST, 60,000 digits to train, 10,000 to test"),
        partial(_idx, mnist.FASHION_MNIST, "Fashion-MNIST, 60,000 and 10,000 images of clothing"),
        _cifar10,
        partial(
            _state,
            "digits",
            "1,797 digits of 8x8 pixels, from scikit-learn",
            digits.TABLE.path(),
            digits.TABLE.read,
        ),
        *(partial(_bundled, name, source) for name, source in bundled.SOURCES.items()),
        lambda: Availability("csv", "a table with a label column", True, "data.path=FILE"),
        lambda: Availability("npz", "NumPy arrays", True, "data.path=FILE"),
        lambda: Availability("synthetic", "synthetic data of any size", True, "generated"),
        lambda: Availability("sequences", "synthetic sequences of tokens", True, "generated"),
    ]


def fetch(name: str, tell: Tell = nobody) -> Path:
    """Bring the data set called `name` onto this machine, verified; return where it is.

    Raises ConfigError for a name that there is nothing to fetch of, DataError where it fails.
    """
    if name in FETCHES:
        return FETCHES[name](tell)
    names = [entry.name for entry in available()]
    if name in names:
        raise ConfigError(
            f"Received {name}; it needs no download (those that do: {', '.join(FETCHES)})"
        )
    raise ConfigError(f"Received {name}; must be one of {', '.join(FETCHES)}{suggest(name, names)}")


def _mnist_5k() -> Availability:
    description = "5,000 real MNIST digits, embedded: 4,000 to train, 1,000 to test"
    if mnist_5k.from_cache() is not None:
        return Availability("mnist_5k", description, True, str(mnist_5k.cached()))
    return _state("mnist_5k", description, mnist_5k.TABLE.path(), mnist_5k.TABLE.read)


def _idx(source: mnist.IdxSource, description: str) -> Availability:
    files = source.find(None) or {}
    folder = next((path.parent for path in files.values()), None)
    remedy = f"nnbench data fetch {source.name}, or put its four files into {source.cached()}"
    return _state(source.name, description, folder, lambda: source.load(files), remedy)


def _bundled(name: str, source: bundled.Source) -> Availability:
    rows, columns = source.shape
    kind = "to classify" if source.classes else "with numbers to predict"
    description = f"{rows} rows of {columns - 1} measurements {kind}, from scikit-learn"
    where = located("sklearn", f"{bundled.FOLDER}/{source.files[0]}")
    return _state(name, description, where, lambda: bundled.load(name))


def _cifar10() -> Availability:
    description = "CIFAR-10, 50,000 and 10,000 colour images of 32x32 pixels"
    remedy = f"nnbench data fetch cifar10, or put {cifar10.ARCHIVE} into {cifar10.cached()}"
    path = cifar10.find(None)
    return _state("cifar10", description, path, lambda: path and cifar10.load(path), remedy)


def _state(
    name: str, description: str, where: Path | None, load: Callable[[], object], remedy: str = ""
) -> Availability:
    """Say whether what is at `where` loads; where there is nothing, `remedy` says what to do."""
    shown = str(where or "not found")
    if where is None and remedy:
        return Availability(name, description, False, shown, remedy)
    try:
        load()
    except DataError as error:
        return Availability(name, description, False, shown, str(error))
    return Availability(name, description, True, shown)
