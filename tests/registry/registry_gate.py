"""A gate before the real registry: TLS, passwords, tokens and certificates as operators ask for
them.  What it lets pass goes to the registry as it came."""

from __future__ import annotations

import base64
import datetime
import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
TOKEN_PATH = "/token"
USER = "me:s3cret"
"""A name and a password."""


# -- certificates ----------------------------------------------------------------------------------


class Authority:
    """Signs certificates; its own is ``ca.pem``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("an authority of the tests")
        certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = directory / "ca.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, address: str = HOST, password: str = "", days: int = 1
    ) -> tuple[Path, Path]:
        """The files of a certificate for an address and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(_name(name), key, days)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(address))]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        there, keys = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        there.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        how: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            how = serialization.BestAvailableEncryption(password.encode())
        form = serialization.PrivateFormat.PKCS8
        keys.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, how))
        return there, keys

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, days: int = 1
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=2))
            .not_valid_after(now + datetime.timedelta(days=days))
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


# -- the gate --------------------------------------------------------------------------------------


@dataclass
class Gate:
    """Who may pass; may be changed while it is open."""

    target: str  # the URL of the registry
    user: str | None = None  # NAME:PASSWORD
    token: str | None = None
    cluster: str | None = None  # the header that Confluent Cloud wants beside a token
    client: str | None = None  # ID:SECRET of whom a token is given to
    url: str = ""
    token_url: str = ""
    asked: list[str] = field(default_factory=list)  # the paths of requests that passed

    def admits(self, headers: Any) -> bool:
        given = headers.get("Authorization")
        if self.user is not None and given != _basic(self.user):
            return False
        if self.cluster is not None and headers.get("target-sr-cluster") != self.cluster:
            return False
        return self.token is None or given == f"Bearer {self.token}"


def _basic(user: str) -> str:
    return "Basic " + base64.b64encode(user.encode()).decode()


@contextmanager
def gate(
    target: str,
    certificate: tuple[Path, Path] | None = None,
    clients_of: Path | None = None,
    **who: Any,
) -> Iterator[Gate]:
    """Opens a gate: over TLS with a certificate, and then for clients of an authority alone."""
    made = Gate(target, **who)
    server = _Server((HOST, 0), type("Bound", (_Handler,), {"gate": made}))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        if clients_of is not None:
            context.load_verify_locations(clients_of)
            context.verify_mode = ssl.CERT_REQUIRED
        # the handshake belongs to the connection's own thread
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    base = f"{'https' if certificate else 'http'}://{HOST}:{server.server_address[1]}"
    made.url, made.token_url = base + urlsplit(target).path, base + TOKEN_PATH
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust the certificate goes away: that is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    gate: Gate
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass("GET")

    def do_POST(self) -> None:
        if self.path == TOKEN_PATH:
            self._give_token()
        else:
            self._pass("POST")

    def do_CONNECT(self) -> None:
        self.close_connection = True
        self._answer(407, {"message": "who are you?"})

    def _pass(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.gate.admits(self.headers):
            self._answer(401, {"error_code": 40101, "message": "Unauthorized"})
            return
        self.gate.asked.append(self.path)
        there = urlsplit(self.gate.target)
        connection = http.client.HTTPConnection(there.hostname or "", there.port)
        try:
            kept = {n: v for n, v in self.headers.items() if n.lower() in _KEPT}
            connection.request(method, self.path, body or None, kept)
            answer = connection.getresponse()
            self._reply(answer.status, answer.read())
        finally:
            connection.close()

    def _give_token(self) -> None:
        body = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        allowed = self.headers.get("Authorization") == _basic(self.gate.client or "")
        if not allowed or body.get("grant_type") != ["client_credentials"]:
            self._answer(401, {"error": "invalid_client"})
            return
        token = {"access_token": self.gate.token, "token_type": "Bearer", "expires_in": 3600}
        self._answer(200, token)

    def _answer(self, status: int, content: object) -> None:
        self._reply(status, json.dumps(content).encode())

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


_KEPT = ("content-type", "accept")
