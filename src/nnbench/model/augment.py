"""Training images moved and mirrored, described."""

from __future__ import annotations

from typing import Any

from nnbench.errors import ConfigError
from nnbench.schema.deferred import dataclass


@dataclass(frozen=True)
class Augment:
    """Training images moved by up to `shift` pixels, and mirrored left to right half the time.

    Each image of each step is moved by its own whole numbers of rows and columns, from -shift to
    shift, zeros coming in at the edge, then mirrored. The numbers come from the counter-based
    generator (`nnbench.model.counter`), so that all backends train on the same images. `image` is
    the shape `(height, width, channels)` that inputs have for this, flat ones too.
    """

    image: tuple[int, ...]
    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if len(self.image) != 3:
            raise ConfigError(
                f"Received augment.shift={self.shift} and augment.flip={str(self.flip).lower()}; "
                f"augmentation needs images, the data has inputs of shape {self.image}."
            )

    def sources(self, numbers: Any, row: Any, column: Any) -> tuple[Any, Any]:
        """Return which rows `(n, rows)` and columns of the images padded by `shift` to take.

        `numbers` `(n, 3)` are each image's random bits, `row` and `column` count from 0; whole
        numbers of any framework.
        """
        s, last = self.shift, self.image[1] - 1
        down, across = (numbers[:, i : i + 1] % (2 * s + 1) for i in (0, 1))
        column = column + (numbers[:, 2:] & int(self.flip)) * (last - 2 * column)
        # Positions in the padded image: s + row - (down - s), and so on.
        return row + 2 * s - down, column + 2 * s - across
