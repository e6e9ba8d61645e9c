#!/usr/bin/python3
"""HTTP/1 for HTTPStreamsTests.swift: streams of requests with mistakes in them, and readers that read as leniently as servers do, each in a way of
its own.

    http_streams.py make COUNT SEED STREAMS     writes streams for `http_streams say`, the same for the same seed
    http_streams.py judge HEARD                 reads what `http_streams hear` has heard; prints how it was understood, as JSON

Whoever passes such streams on must have understood each request as one thing: then all readers see the same requests, with the same bodies.
"""

import collections
import hashlib
import http.server
import io
import json
import multiprocessing
import random
import struct
import sys


class Played:
    """A connection over which these bytes have come, and then the end."""

    def __init__(self, data):
        self.data = data

    def recv(self, _):
        piece, self.data = self.data, b""
        return piece

    def makefile(self, *_):
        return io.BytesIO(self.recv(0))

    def sendall(self, _):
        pass


class Origin:
    """What was seen: a line for each request."""

    def __init__(self):
        self.seen = []

    def tell(self, method, target, body):
        # Python's library takes several slashes at the start for one.
        target = "/" + target.lstrip("/")
        self.seen.append(f"{method} {target} {len(body)} {hashlib.sha256(body).hexdigest()[:16]}")


class Reader:
    """Bytes of a connection, by lines and by number."""

    def __init__(self, sock):
        self.sock, self.data = sock, b""

    def more(self):
        piece = self.sock.recv(1 << 16)
        self.data += piece
        return bool(piece)

    def line(self):
        while b"\n" not in self.data:
            if not self.more():
                return None
        line, self.data = self.data.split(b"\n", 1)
        return line.rstrip(b"\r")

    def take(self, count):
        while len(self.data) < count:
            if not self.more():
                return None
        taken, self.data = self.data[:count], self.data[count:]
        return taken


def lenient(sock, origin):
    """Takes whatever can be taken for something: line feeds alone, blanks anywhere, folded lines, the last of several lengths, a chunked that
    stands anywhere, sizes of chunks in any notation."""
    reader = Reader(sock)
    while True:
        first = reader.line()
        while first is not None and not first.strip():
            first = reader.line()
        if first is None:
            return
        words = first.split()
        method, target = words[0], words[1] if len(words) > 1 else b""
        fields, name = {}, b""
        while True:
            line = reader.line()
            if line is None:
                return
            if not line:
                break
            if line[:1] in b" \t" and name:
                fields[name] += line.strip()
                continue
            name, _, value = line.partition(b":")
            name = name.strip().lower()
            fields[name] = value.strip()
        body = b""
        if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            while True:
                line = reader.line()
                if line is None:
                    return
                size = int(line.split(b";")[0].strip() or b"0", 16)
                if size == 0:
                    while line:
                        line = reader.line()
                    if line is None:
                        return
                    break
                chunk = reader.take(size)
                if chunk is None:
                    return
                body += chunk
                reader.line()
        elif b"content-length" in fields:
            digits = "".join(c for c in fields[b"content-length"].decode("latin-1").split(",")[-1] if c.isdigit())
            body = reader.take(int(digits or 0))
            if body is None:
                return
        origin.tell(method.decode("latin-1"), target.decode("latin-1"), body)


class Library(http.server.BaseHTTPRequestHandler):
    """Python's own reading of heads; the first Content-Length counts before Transfer-Encoding."""

    protocol_version = "HTTP/1.1"

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.any
        raise AttributeError(name)

    def any(self):
        body, length = b"", self.headers.get("Content-Length")
        if length is not None:
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                self.close_connection = True
                return
        elif self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        self.server.origin.tell(self.command, self.path, body)

    def handle_expect_100(self):
        return True

    def log_message(self, *_):
        pass


def library(sock, origin):
    class Server:
        pass

    server = Server()
    server.origin = origin
    Library(sock, ("", 0), server)


BASES = [
    b"GET /x HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\nPOST /n HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok",
    b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\n\r\nGET /inner HTTP/1.1\r\nHost: canary\r\n\r\nxGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://b/x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-gone\r\nX-Gone: 1\r\n\r\nHEAD /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"DELETE /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /x HTTP/1.0\r\n\r\nGET /never HTTP/1.0\r\n\r\n",
]
TOKENS = [
    b"\r", b"\n", b"\r\n", b"\t", b" ", b"\0", b"\x0b", b"\x0c", b"\xff", b";", b",", b":", b"+", b"-", b"0", b"0x", b"_",
    b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"content-length:5\r\n", b"Content-Length : 5\r\n", b" Content-Length: 5\r\n",
    b"Content-Length: 5, 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding:\tchunked\r\n", b"Transfer-Encoding: chunked, chunked\r\n",
    b"X: y\r\n Transfer-Encoding: chunked\r\n", b"\nTransfer-Encoding: chunked\r\n", b"Host: b\r\n", b"Expect: 100-continue\r\n",
    b"Connection: close\r\n", b"Connection: Content-Length\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n",
    b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1", b"HTTP/1.0", b"chunked",
]


def changed(stream, chance):
    """One to three mistakes."""
    data = bytearray(stream)
    for _ in range(chance.randint(1, 3)):
        place, kind = chance.randrange(len(data) + 1), chance.randrange(6)
        if kind <= 1:
            # Where lines begin, mistakes are understood most often.
            starts = [0] + [i + 1 for i, byte in enumerate(data) if byte == 10]
            place = chance.choice(starts) if kind == 0 else place
            data[place:place] = chance.choice(TOKENS)
        elif kind == 2:
            del data[place : place + chance.randint(1, 4)]
        elif kind == 3 and place < len(data):
            data[place] = chance.randrange(256)
        elif kind == 4 and place < len(data):
            data[place] ^= 0x20
        else:
            end = place + chance.randint(1, 30)
            data[place:place] = data[place:end]
    return bytes(data)


def make(count, seed, file):
    chance = random.Random(seed)
    with open(file, "wb") as streams:
        for number in range(count):
            stream = changed(BASES[number % len(BASES)], chance)
            streams.write(struct.pack("<I", len(stream)) + stream)


def understood(data):
    """By each of the readers."""
    result = []
    for read in (lenient, library):
        origin = Origin()
        try:
            read(Played(data), origin)
        except (ValueError, IndexError, EOFError):
            pass
        result.append(origin.seen)
    return result


def judge(file):
    heard, data, at = collections.Counter(), open(file, "rb").read(), 0
    while at < len(data):
        requests, length = struct.unpack_from("<II", data, at)
        heard[requests, data[at + 8 : at + 8 + length]] += 1
        at += 8 + length
    requests, disagreements = 0, []
    with multiprocessing.Pool(2) as pool:
        distinct = list(heard)
        for (answered, stream), seen in zip(distinct, pool.map(understood, (stream for _, stream in distinct), 256)):
            requests += heard[answered, stream] * answered
            if seen[0] != seen[1] or len(seen[0]) != answered:
                disagreements.append(f"{stream!r} is {answered} requests, and {seen[0]}, and {seen[1]}")
    print(
        json.dumps(
            {
                "connections": heard.total(),
                "distinct": len(distinct),
                "requests": requests,
                "disagreements": len(disagreements),
                "some": disagreements[:10],
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        judge(sys.argv[2])
