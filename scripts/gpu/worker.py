"""`python -m gpu.worker`: do one job, read as JSON from standard input; rows as JSON lines."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
import traceback
from typing import Any

from gpu.rows import Row, Setting


def main() -> int:
    """Do the job; what frameworks print goes to standard error."""
    job: dict[str, Any] = json.loads(sys.stdin.read())
    rows = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    given = job["setting"]
    setting = Setting(given["device"], given["quick"], tuple(given["packages"]))
    part = importlib.import_module(f"gpu.{job['part']}")

    def send(row: Row) -> None:
        rows.write(json.dumps(dataclasses.asdict(row)) + "\n")
        rows.flush()

    try:
        for row in part.run(setting, job["seconds"], **job["arguments"]):
            send(row)
    except Exception as error:  # the other jobs go on
        traceback.print_exc()
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        send(Row(job["subject"], "failed", f"{type(error).__name__}: {(lines or [''])[0]}"[:300]))
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # frameworks' exit handlers have nothing to save
