"""An event handler of the bank: tells somebody of each large withdrawal, by a line in a file.

A mail or a webhook stands in the same place.  The line bears the persist id and the seq, by which
whoever reads it knows a notice that came twice.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from kstate import EventHandler, StoredEvent, handles
from processors.bank import LARGE, Bank, Withdrawn

OUTBOX = Path(os.environ.get("NOTICES_FILE", "notices.jsonl"))


class Notices(EventHandler):
    name = "notices"
    source = Bank

    @handles
    def withdrawn(self, stored: StoredEvent, event: Withdrawn) -> None:
        if event.amount < LARGE:
            return
        notice = {"account": stored.persist_id, "seq": stored.seq, "amount": event.amount}
        with OUTBOX.open("a") as outbox:
            outbox.write(json.dumps(notice) + "\n")
            outbox.flush()
            os.fsync(outbox.fileno())
