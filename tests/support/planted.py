"""Passwords planted everywhere, and the search for them in every byte that came of it."""

from __future__ import annotations

import base64
import gzip
import http.client
import re
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

from support.commands import PATIENCE

WRITTEN = (".parquet", ".npz", ".gz", ".zip", ".pkl")  # that may hold compressed text


def forms(secret: str) -> set[bytes]:
    """Return the ways in which a secret may be written: as it is, quoted, in JSON, base64, hex.

    A long part of it is as bad.
    """
    texts = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
    texts |= {quote(text, safe="") for text in texts}
    texts |= {secret.encode("unicode_escape").decode(), secret.replace('"', '\\"')}
    texts |= {text.lower() for text in texts if "%" in text}
    found = {text.encode() for text in texts} | {secret.encode().hex().encode()}
    for shift in range(3):  # base64 has a text in three ways, by where in it that begins
        coded = base64.b64encode(b"\0" * shift + secret.encode())
        inner = coded[(0, 2, 3)[shift] : len(secret) * 4 // 3 - 1]
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    found |= {part.encode() for part in re.split(r"\W+", secret) if len(part) >= 8}
    return {each for each in found if len(each) > 5}


def hits(secrets: Mapping[str, str], written: Mapping[str, bytes]) -> list[str]:
    """Return where which secret is, by the place that it was planted in."""
    wanted = {place: forms(secret) for place, secret in secrets.items()}
    return [
        f"{place} in {name}: ...{content[max(0, content.find(form) - 60) :][:140]!r}"
        for name, content in written.items()
        for place, some in wanted.items()
        for form in some
        if form in content or form in name.encode()
    ]


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Return the bytes of all files below `folder`, what is packed unpacked too."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            yield str(path), b""
            continue
        content = path.read_bytes()
        yield str(path), content
        if path.suffix == ".parquet":
            import pandas as pd

            yield f"{path} (table)", pd.read_parquet(path).to_csv().encode()
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                yield from ((f"{path}:{name}", packed.read(name)) for name in packed.namelist())
        elif content.startswith(b"\x1f\x8b"):
            yield f"{path} (unpacked)", gzip.decompress(content)


class Gateway(ThreadingHTTPServer):
    """Wants a user and a password (or a token), then hands on to the server at `port`.

    It is a proxy too, which wants its own. `taken` is what it was sent, but for the two headers
    in which passwords belong. `echo`: refuses everything, and says what it was sent.
    """

    daemon_threads = True

    def __init__(self, port: int, wanted: set[str], proxy: str = "", echo: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port, self.wanted, self.proxy, self.echo = port, wanted, proxy, echo
        self.taken: list[bytes] = []
        self.passed = self.refused = 0
        self.host = f"127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class _Handler(BaseHTTPRequestHandler):
    server: Gateway
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, text: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def handle_any(self) -> None:
        server, body = self.server, self.body()
        allowed = {"authorization": server.wanted, "proxy-authorization": {server.proxy}}
        others = {k: v for k, v in self.headers.items() if k.lower() not in allowed}
        given = self.headers.get("Authorization", "")
        passing = self.headers.get("Proxy-Authorization", "")
        server.taken.append(f"{self.command} {self.path} {others}\n".encode() + unpacked(body))
        if server.echo:
            said = (
                f'{{"error_code": "INVALID_PARAMETER_VALUE", "message": "sent {given} {passing}"}}'
            )
            server.refused += 1
            return self.answer(400, said.encode())
        if (server.wanted and given not in server.wanted) or (
            server.proxy and passing != server.proxy
        ):
            server.refused += 1
            said = f'{{"error_code": "UNAUTHENTICATED", "message": "not {given} {passing}"}}'
            return self.answer(401, said.encode())
        where = urlsplit(self.path)
        port = where.port or server.port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        kept = {k: v for k, v in self.headers.items()
                if k.lower() in ("content-type", "authorization")}  # fmt: skip
        path = where.path + (f"?{where.query}" if where.query else "")
        connection.request(self.command, path, body, kept)
        got = connection.getresponse()
        server.passed += 1
        return self.answer(got.status, got.read(), got.getheader("Content-Type", "text/plain"))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


def unpacked(body: bytes) -> bytes:
    """Return a body as it was before it was compressed."""
    for width in (31, 15):
        try:
            return zlib.decompress(body, width)
        except zlib.error:
            continue
    return body
