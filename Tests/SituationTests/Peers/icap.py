"""A service of ICAP that says of itself what it should, and of messages whatever it is told."""

import socket
import threading

PAGE = b"HTTP/1.1 200 OK\r\nX-Scanned: yes\r\n%s\r\n"
OPTIONS = (
    b"ICAP/1.0 200 OK\r\nMethods: REQMOD, RESPMOD\r\nISTag: \"t\"\r\nPreview: 16\r\nAllow: 204\r\n"
    b"Options-TTL: 60\r\nEncapsulated: null-body=0\r\n\r\n"
)


def page(head, body=b"", encapsulated=None, fields=b""):
    """A message in place of the one that was shown."""
    where = encapsulated or b"res-hdr=0, res-body=%d" % len(head)
    return b"ICAP/1.0 200 OK\r\nISTag: \"t\"\r\n%sEncapsulated: %s\r\n\r\n" % (fields, where) + head + body


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


PLAIN = PAGE % b""
REPLACEMENT = b"POST /replaced HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
ANSWERS = {
    "silent": None,
    "gone": b"",
    "half a head": b"ICAP/1.0 200 OK\r\nEncapsulated: res-h",
    "no ICAP": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "endless head": b"ICAP/1.0 200 OK\r\nX: " + b"y" * 1_000_000,
    "no Encapsulated": b"ICAP/1.0 200 OK\r\n\r\n" + PLAIN + chunk(b"x") + b"0\r\n\r\n",
    "too short a head": page(PLAIN, chunk(b"x") + b"0\r\n\r\n", b"res-hdr=0, res-body=9"),
    "too long a head": page(PLAIN, chunk(b"x") + b"0\r\n\r\n", b"res-hdr=0, res-body=%d" % (len(PLAIN) + 5)),
    "a huge head": page(PLAIN, chunk(b"x") + b"0\r\n\r\n", b"res-hdr=0, res-body=999999999"),
    "parts in disorder": page(PLAIN, chunk(b"x") + b"0\r\n\r\n", b"res-body=0, res-hdr=9"),
    "a request for a response": page(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"", b"req-hdr=0, null-body=27"),
    "two lengths": page(PAGE % b"Content-Length: 1, 2\r\n", chunk(b"x") + b"0\r\n\r\n"),
    "a body and none": page(PAGE % b"Content-Length: 5\r\n", b"", b"res-hdr=0, null-body=%d" % len(PAGE % b"Content-Length: 5\r\n")),
    "an error": b"ICAP/1.0 500 Server error\r\n\r\n",
    "not found": b"ICAP/1.0 404 Not found\r\nEncapsulated: null-body=0\r\n\r\n",
    "more, of nothing": b"ICAP/1.0 100 Continue\r\n\r\n",
    # What is found is found, whatever is said about it otherwise.
    "found, and an error": b"ICAP/1.0 500 Server error\r\nX-Virus-ID: Evil\r\n\r\n",
    "found, and a page that does not fit": page(
        PAGE % b"Content-Length: 4\r\n", b"", b"res-hdr=0, null-body=%d" % len(PAGE % b"Content-Length: 4\r\n"),
        fields=b"X-Virus-ID: Evil\r\n"),
    "found, and unchanged": b"ICAP/1.0 204 Unmodified\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Evil;\r\n\r\n",
    "found, and no body": page(PLAIN, fields=b"X-Virus-ID: Evil\r\n"),
    "found, and bad chunks": page(PLAIN, b"zz\r\n", fields=b"X-Virus-ID: Evil\r\n"),
    # Of these, nothing can have been handed on yet.
    "no body": page(PLAIN),
    "bad chunks": page(PLAIN, chunk(b"hello") + b"zz\r\n"),
    "too short a body": page(PAGE % b"Content-Length: 10\r\n", chunk(b"hello") + b"0\r\n\r\n"),
    "too long a body": page(PAGE % b"Content-Length: 3\r\n", chunk(b"hello") + b"0\r\n\r\n"),
    # A response has begun with these.
    "cut off": page(PLAIN, chunk(b"hello")),
    "found, and cut off": page(PLAIN, chunk(b"hello"), fields=b"X-Virus-ID: Evil\r\n"),
    # And these are well.
    "unchanged": b"ICAP/1.0 204 Unmodified\r\nISTag: \"t\"\r\n\r\n",
    "unchanged, of another service": b"ICAP/1.0 204 Unmodified\r\nISTag: \"u\"\r\n\r\n",
    "unchanged, and a body": b"ICAP/1.0 204 Unmodified\r\nISTag: \"t\"\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n",
    "changed": page(PAGE % b"Content-Length: 5\r\n", chunk(b"hel") + chunk(b"lo") + b"0\r\n\r\n"),
    "a request replaced": page(REPLACEMENT, chunk(b"hello") + b"0\r\n\r\n", b"req-hdr=0, req-body=%d" % len(REPLACEMENT)),
    "refused": b"ICAP/1.0 403 Forbidden\r\nX-Virus-ID: <b>Evil</b>\r\nEncapsulated: null-body=0\r\n\r\n",
    "found": page(
        PAGE.replace(b"200 OK", b"403 Forbidden") % b"Content-Length: 4\r\n", chunk(b"page") + b"0\r\n\r\n",
        fields=b"X-Infection-Found: Type=0; Resolution=2; Threat=Evil;\r\nX-Violations-Found: 1\r\n\t-\r\n\tEvil\r\n"),
}
# Of requests; responses pass.
ANSWERS["held"] = ANSWERS["unchanged"]
# The connection goes on behind these.
WELL = {"held", "unchanged", "unchanged, of another service", "unchanged, and a body", "changed", "a request replaced", "found", "refused", "silent", "endless head"}


def head_of(stream):
    """A head with its empty line; empty at the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return b""
        head += line
    return head


def body_of(stream):
    """Reads chunks up to the end of the body, or of the preview: the data, and whether the preview was all."""
    data = b""
    while True:
        line = stream.readline()
        size = int(line.split(b";")[0], 16)
        piece = stream.read(size + 2)
        if size == 0:
            return data, b"ieof" in line
        data += piece[:-2]


class Service:
    def __init__(self, manner):
        self.manner = manner
        self.seen = []
        self.connections = 0
        self.released = threading.Event()

    def serve(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.one, args=(sock,), daemon=True).start()

    def one(self, sock):
        try:
            self.talk(sock, sock.makefile("rb"))
        except (OSError, ValueError):
            pass
        sock.close()

    def talk(self, sock, stream):
        while True:
            head = head_of(stream)
            if not head:
                return
            if head.startswith(b"OPTIONS"):
                sock.sendall(OPTIONS)
                continue
            where = head.split(b"Encapsulated: ")[1].split(b"\r\n")[0]
            heads = stream.read(int(where.split(b"=")[-1]))
            data, is_whole = (b"", True) if b"null-body" in where else body_of(stream)
            self.seen.append({"head": head.decode("latin-1"), "body": data.decode("latin-1")})
            if self.manner == "held" and head.startswith(b"REQMOD"):
                self.hold(sock, stream, heads, data, is_whole)
                continue
            answer = ANSWERS[self.manner]
            if answer is None:
                continue
            sock.sendall(answer)
            if self.manner not in WELL:
                return

    def hold(self, sock, stream, heads, data, is_whole):
        """Gives a request back as it was, but its body only when that is released."""
        if not is_whole:
            sock.sendall(ANSWERS["more, of nothing"])
            data += body_of(stream)[0]
        sock.sendall(page(heads, b"%x\r\n" % len(data), b"req-hdr=0, req-body=%d" % len(heads)))
        self.released.wait()
        sock.sendall(data + b"\r\n0\r\n\r\n")


SERVICES = {}


def op_icap(manner, host="127.0.0.1", port=1344):
    """Serves from now on in that manner."""
    if port in SERVICES:
        SERVICES[port].manner = manner
        return {}
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(64)
    service = SERVICES[port] = Service(manner)
    threading.Thread(target=service.serve, args=(listener,), daemon=True).start()
    return {}


def op_icap_release(port=1344):
    """What is held goes on."""
    SERVICES[port].released.set()
    return {}


def op_icap_seen(port=1344):
    """What it was shown so far."""
    service = SERVICES[port]
    return {"heads": [one["head"] for one in service.seen], "bodies": [one["body"] for one in service.seen],
            "connections": service.connections}
