"""`python -m gpu.bits LABEL DEVICE BLOCK...`: train them; print digests of the weights as JSON."""

from __future__ import annotations

import hashlib
import json
import os
import sys

from gpu import engines, kit
from gpu.trainers import Backend


def main(label: str, device: str, *blocks: str) -> None:
    """Train blocks for 21 steps each in float32."""
    from nnbench.backends.drift import trained
    from nnbench.errors import UnsupportedSpec
    from nnbench.testing import BLOCKS

    name, execution = (kit.SUBJECTS | engines.SUBJECTS)[label]
    found = {}
    for block in blocks:
        short = BLOCKS[block].of("float32")
        try:
            trainer = Backend(name, device)(short.on(execution), short.splits)
        except UnsupportedSpec:
            continue  # the kit says what is refused
        params = trained(trainer, short.params, short.walks())
        sha = hashlib.sha256(b"".join(params[key].tobytes() for key in sorted(params, key=str)))
        found[block] = sha.hexdigest()[:16]
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)
