"""Reading the journal: events by id, tag and type, current or live, and the states they make.

A query is a reader over the journal.  What it looks for stands in keys and headers, so that a
record which does not match is never decoded.
"""

from kstate.query.events import StoredEvent as StoredEvent
from kstate.query.facade import Events as Events
from kstate.query.journal import Journal as Journal
from kstate.query.processors import ProcessorRef as ProcessorRef
from kstate.query.processors import missing as missing
