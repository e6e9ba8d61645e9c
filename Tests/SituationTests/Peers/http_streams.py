"""HTTP/1 for peer.py: origins that read it as leniently as servers do, each in a way of its own, and streams of requests with mistakes in them.

Whoever passes such streams on must have understood each request as one thing: then all origins have seen the same requests, with the same
bodies.
"""

import hashlib
import http.server
import random
import socket
import threading
import time

WAIT = 15.0
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Origin: 1\r\n\r\n"

origins = {}


class Origin:
    """What was seen so far: a line for each request."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seen, self.open = [], 0

    def tell(self, method, target, body):
        # Python's library takes several slashes at the start for one.
        target = "/" + target.lstrip("/")
        with self.lock:
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
        sock.sendall(RESPONSE)


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
        self.wfile.write(RESPONSE)

    def handle_expect_100(self):
        return True

    def log_message(self, *_):
        pass


def library(sock, origin):
    class Server:
        pass

    server = Server()
    server.origin = origin
    Library(sock, sock.getpeername(), server)


def op_http_origin(host, manner, port=0):
    """Serves until the program ends; the answer has `port`."""
    origin = Origin()
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512)
    serve = {"lenient": lenient, "library": library}[manner]

    def one(sock):
        with sock:
            try:
                serve(sock, origin)
            except (OSError, ValueError, IndexError, EOFError):
                pass
        with origin.lock:
            origin.open -= 1

    def all_of_them():
        while True:
            sock, _ = listener.accept()
            with origin.lock:
                origin.open += 1
            threading.Thread(target=one, args=(sock,), daemon=True).start()

    threading.Thread(target=all_of_them, daemon=True).start()
    port = listener.getsockname()[1]
    origins[port] = origin
    return {"port": port}


def op_http_seen(port):
    """All requests in some order that is always the same, when no connection is open any more."""
    origin, until = origins[port], time.monotonic() + WAIT
    while origin.open > 0 and time.monotonic() < until:
        time.sleep(0.002)
    if origin.open > 0:
        raise TimeoutError
    with origin.lock:
        return {"requests": sorted(origin.seen), "count": len(origin.seen)}


BASES = [
    b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PUT /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\nPOST /n HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok",
    b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\n\r\nGET /inner HTTP/1.1\r\nHost: canary\r\n\r\nxGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://b/%d HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-gone\r\nX-Gone: 1\r\n\r\nHEAD /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"DELETE /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /%d HTTP/1.0\r\n\r\nGET /never HTTP/1.0\r\n\r\n",
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


def op_http_streams(host, port, count, seed):
    """Says `count` streams with mistakes in them, each over a connection of its own, the same for the same seed. Tells how they were answered."""
    chance, statuses = random.Random(seed), {}
    for number in range(count):
        stream = changed(BASES[number % len(BASES)].replace(b"%d", b"%d" % number), chance)
        with socket.create_connection((host, port), WAIT) as sock:
            heard = b""
            try:
                sock.sendall(stream)
                sock.shutdown(socket.SHUT_WR)
                while piece := sock.recv(1 << 16):
                    heard += piece
            except OSError:
                pass
        for line in heard.split(b"\r\n"):
            if line.startswith(b"HTTP/1.1 "):
                status = line[9:12].decode("latin-1")
                statuses[status] = statuses.get(status, 0) + 1
    return {"statuses": statuses}
