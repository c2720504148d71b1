"""What a table of figures has to say of where they were taken."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
from pathlib import Path


def processor_name() -> str:
    """The CPU, as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def today() -> str:
    """The date, UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def machine() -> str:
    """Date, Python and processor: the beginning of a table's caption."""
    return f"{today()}, Python {platform.python_version()}, {os.cpu_count()} × {processor_name()}"
