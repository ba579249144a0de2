"""`python -m gpu.hog`: hold nearly all of the GPU's memory until standard input ends."""

from __future__ import annotations

import sys

LEFT_BYTES = 100 * 2**20  # less than another process needs to start


def main() -> None:
    """Take the memory, say so, wait."""
    import torch

    free, _ = torch.cuda.mem_get_info()
    held = [torch.empty(free - LEFT_BYTES, dtype=torch.uint8, device="cuda")]
    print(f"holding {sum(t.numel() for t in held)} bytes", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
