"""Codecs and programs that use a schema registry."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from world import AnyProcessor

from kstate import wiring
from kstate.codec.avro import AvroCodec
from kstate.codec.book import Book
from kstate.codec.registry import Ids
from kstate.codec.registry_client import RegistryClient
from kstate.codec.registry_codec import RegistryCodec
from kstate.core.topics import Topics
from kstate.log.port import Log
from kstate.processor import definition_of
from kstate.runtime.schema_topic import SchemaTopic


def fresh_name() -> str:
    """A name of a processor, and so of subjects, that no other test has."""
    return f"t{uuid4().hex[:12]}"


def codec(processor: AnyProcessor, url: str, *, register: bool = True) -> RegistryCodec:
    """A processor's codec, its schemas registered."""
    book = Book()
    made = RegistryCodec(definition_of(processor), Ids(RegistryClient(url), book), book)
    if register:
        made.register()
    return made


def use_registry(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Workers and clients made from now on use this registry."""
    registry = RegistryClient(url)

    def codec_of(
        log: Log, topics: Topics, processor: Any, *_: Any
    ) -> tuple[AvroCodec, SchemaTopic]:
        book = Book()
        schemas = SchemaTopic(log, topics, book)
        made = RegistryCodec(definition_of(processor), Ids(registry, book), book, schemas.refresh)
        schemas.register = made.register
        return made, schemas

    monkeypatch.setattr(wiring, "codec_of", codec_of)
