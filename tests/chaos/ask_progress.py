"""Asks for the progress of a group, again and again, until it is told to end and answered again.

    python ask_progress.py URL GROUP TOPIC

In a process of its own, as what is looked for ends the process.
"""

from __future__ import annotations

import sys
import threading

from kstate.errors import LogUnavailable
from kstate.wiring import open_log


def main() -> None:
    """Prints how often it was answered, the last time after it was told to end."""
    url, group, topic = sys.argv[1:]
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    log = open_log(url)
    answers = 0
    while True:
        last = over.is_set()
        try:
            log.progress(group, topic)
        except LogUnavailable:
            continue
        answers += 1
        if last:
            break
    log.close()
    print(answers)


if __name__ == "__main__":
    main()
