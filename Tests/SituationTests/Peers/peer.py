"""A TCP peer that does exactly what it is told, and says exactly what it saw.

Reads one JSON command per line from standard input: {"id": 1, "op": "connect", ...}. Every command runs in its own thread, so that a
blocking one holds up nothing else, and is answered by one line on standard output: {"id": 1, ...results} or {"id": 1, "failure": "..."}.
Sockets are named by small numbers. How a connection ended is told as "fin" (recv returned nothing), an errno's name such as "ECONNRESET",
or "timeout". End of standard input ends the program, and every socket with it.
"""

import errno
import fcntl
import hashlib
import json
import os
import random
import socket
import struct
import sys
import termios
import threading
import time

BLOCK = 1 << 20
WAIT = 15.0  # seconds that anything may take before it counts as stuck

sockets = {}
lock = threading.Lock()
next_socket = 1


def keep(sock):
    global next_socket
    with lock:
        number = next_socket
        next_socket += 1
        sockets[number] = sock
    return number


def find(number):
    with lock:
        return sockets[number]


def forget(number):
    with lock:
        return sockets.pop(number)


def name_of(error):
    if isinstance(error, (TimeoutError, BlockingIOError)) and error.errno in (None, errno.EAGAIN):
        return "timeout"
    return errno.errorcode.get(error.errno, str(error))


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def open_socket(host, source=None, source_port=0, receive_buffer=0, send_buffer=0):
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if send_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    if source or source_port:
        sock.bind((source or ("::" if ":" in host else "0.0.0.0"), source_port))
    return sock


class Pattern:
    """Pseudo-random megabytes, each numbered, so that a lost, doubled or displaced one changes the digest."""

    def __init__(self, seed):
        self.block = bytearray(random.Random(seed).randbytes(BLOCK))

    def number(self, index):
        struct.pack_into("!Q", self.block, 0, index)
        return self.block


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# Commands -----------------------------------------------------------------------------------------------------------------------------


def op_listen(host, port=0, backlog=512, receive_buffer=0):
    sock = open_socket(host, receive_buffer=receive_buffer)
    if ":" in host:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((host, port))
    sock.listen(backlog)
    return {"socket": keep(sock), "port": sock.getsockname()[1]}


def op_accept(socket_, timeout=WAIT):
    listener = find(socket_)
    listener.settimeout(timeout)
    sock, peer = listener.accept()
    sock.settimeout(WAIT)
    return {"socket": keep(sock), "address": peer[0], "port": peer[1]}


def op_connect(host, port, timeout=WAIT, **options):
    """Connects; "outcome" is "connected" or the errno's name, "seconds" how long that took."""
    sock = open_socket(host, **options)
    sock.settimeout(timeout)
    started = time.monotonic()
    try:
        sock.connect((host, port))
    except OSError as error:
        sock.close()
        return {"outcome": name_of(error), "seconds": time.monotonic() - started}
    local = sock.getsockname()
    sock.settimeout(WAIT)
    return {
        "outcome": "connected",
        "seconds": time.monotonic() - started,
        "socket": keep(sock),
        "address": local[0],
        "port": local[1],
    }


def op_occupy(host, port, source, source_port):
    """Takes the four numbers of a connection on this host, whether or not it ever comes about; `source` need not be an address of ours."""
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ":" in host:
        sock.setsockopt(socket.IPPROTO_IPV6, 75, 1)  # IPV6_TRANSPARENT
    else:
        sock.setsockopt(socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT
    sock.bind((source, source_port))
    sock.setblocking(False)
    sock.connect_ex((host, port))
    return {"socket": keep(sock)}


def op_attempt(host, port, timeout=WAIT, count=1, **options):
    """Connects and waits for the other side to end it, `count` times: how each ended and how many seconds after the first SYN."""
    outcomes, seconds = [], []
    for _ in range(count):
        sock = open_socket(host, **options)
        sock.settimeout(timeout)
        started = time.monotonic()
        try:
            sock.connect((host, port))
            outcome = "fin" if sock.recv(1) == b"" else "data"
        except OSError as error:
            outcome = name_of(error)
        seconds.append(time.monotonic() - started)
        outcomes.append(outcome)
        sock.close()
    return {"outcomes": outcomes, "seconds": seconds}


def op_send(socket_, text):
    find(socket_).sendall(text.encode("latin-1"))
    return {}


def op_send_twice(socket_, text):
    """Sends `text` in two writes, with Nagle's algorithm on: how many seconds until all of it was acknowledged."""
    sock, half = find(socket_), len(text) // 2
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
    started = time.monotonic()
    sock.sendall(text[:half].encode("latin-1"))
    sock.sendall(text[half:].encode("latin-1"))
    while struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0] > 0:
        if time.monotonic() - started > WAIT:
            raise TimeoutError
        time.sleep(0.0005)
    return {"seconds": time.monotonic() - started}


def op_dribble(socket_, text, pause=0):
    sock = find(socket_)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in text.encode("latin-1"):
        sock.sendall(bytes([byte]))
        if pause:
            time.sleep(pause)
    return {}


def op_receive(socket_, bytes, timeout=WAIT):
    """Exactly `bytes` bytes, or fewer and the ending."""
    sock = find(socket_)
    sock.settimeout(timeout)
    data, end = b"", "more"
    while len(data) < bytes:
        try:
            piece = sock.recv(bytes - len(data))
        except OSError as error:
            end = name_of(error)
            break
        if not piece:
            end = "fin"
            break
        data += piece
    return {"text": data.decode("latin-1"), "end": end}


def op_pour(socket_, bytes, seed=1, shut=False):
    """Sends `bytes` bytes of the numbered pattern, then ends its direction if told to. Tells how far it came."""
    sock = find(socket_)
    pattern, digest, sent, index, end = Pattern(seed), hashlib.sha256(), 0, 0, "done"
    try:
        while sent < bytes:
            block = memoryview(pattern.number(index))[: min(BLOCK, bytes - sent)]
            digest.update(block)
            sock.sendall(block)
            sent += len(block)
            index += 1
        if shut:
            sock.shutdown(socket.SHUT_WR)
    except OSError as error:
        end = name_of(error)
    return {"bytes": sent, "digest": digest.hexdigest(), "end": end}


def op_stuff(socket_, quiet=1.0):
    """Sends until the other side has taken nothing for `quiet` seconds. The stream is the numbered pattern, cut where it stopped."""
    sock = find(socket_)
    sock.settimeout(quiet)
    pattern, digest, sent, index = Pattern(1), hashlib.sha256(), 0, 0
    while True:
        block = memoryview(pattern.number(index))
        offset = 0
        while offset < BLOCK:
            try:
                taken = sock.send(block[offset:])
            except (TimeoutError, BlockingIOError):
                sock.settimeout(WAIT)
                return {"bytes": sent, "digest": digest.hexdigest()}
            digest.update(block[offset : offset + taken])
            offset += taken
            sent += taken
        index += 1


def op_drain(socket_, limit=None, timeout=WAIT):
    """Reads until the end, or until `limit` bytes: how many there were, their digest, and the ending as this side saw it."""
    sock = find(socket_)
    sock.settimeout(timeout)
    buffer, digest, received, end = bytearray(BLOCK), hashlib.sha256(), 0, "limit"
    view = memoryview(buffer)
    started = time.monotonic()
    while limit is None or received < limit:
        try:
            count = sock.recv_into(view if limit is None else view[: min(BLOCK, limit - received)])
        except OSError as error:
            end = name_of(error)
            break
        if count == 0:
            end = "fin"
            break
        digest.update(view[:count])
        received += count
    return {"bytes": received, "digest": digest.hexdigest(), "end": end, "seconds": time.monotonic() - started}


def op_shut(socket_):
    find(socket_).shutdown(socket.SHUT_WR)
    return {}


def op_reset(socket_):
    reset(forget(socket_))
    return {}


def op_close(socket_):
    sock = forget(socket_)
    try:
        # An accept in another thread holds the descriptor's last reference; shutdown wakes it.
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()
    return {}


def op_local(socket_):
    local = find(socket_).getsockname()
    return {"address": local[0], "port": local[1]}


def op_serve(socket_, manner, greeting="hello\n"):
    """Serves every connection in the background until the listener is closed. "echo" sends back what it reads; "greet" speaks and ends first."""
    listener = find(socket_)
    listener.settimeout(None)

    def one(sock):
        with sock:
            try:
                if manner == "greet":
                    sock.sendall(greeting.encode())
                    sock.shutdown(socket.SHUT_WR)
                while True:
                    data = sock.recv(1 << 16)
                    if not data:
                        break
                    if manner == "echo":
                        sock.sendall(data)
            except OSError:
                pass

    def all_of_them():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.settimeout(None)
            threading.Thread(target=one, args=(sock,), daemon=True).start()

    threading.Thread(target=all_of_them, daemon=True).start()
    return {}


def op_churn(host, port, count, source, source_ports, timeout=WAIT):
    """`count` connections, one after the other, from the same few ports of one address; each reads until the server has ended it."""
    slowest, failures = 0.0, []
    began = time.monotonic()
    for index in range(count):
        sock = open_socket(host, source=source, source_port=source_ports[index % len(source_ports)])
        sock.settimeout(timeout)
        started = time.monotonic()
        try:
            sock.connect((host, port))
            slowest = max(slowest, time.monotonic() - started)
            while sock.recv(4096):
                pass
        except OSError as error:
            failures.append(name_of(error))
        sock.close()
    return {"slowest": slowest, "failures": failures, "seconds": time.monotonic() - began}


def op_flood(host, port, count):
    """Opens `count` connections at once and keeps them; how many the other end's kernel took."""
    numbers = []
    for _ in range(count):
        sock = open_socket(host)
        sock.setblocking(False)
        sock.connect_ex((host, port))
        numbers.append(keep(sock))
    return {"sockets": numbers}


def op_hang_up(sockets_):
    for number in sockets_:
        reset(forget(number))
    return {}


def op_threads():
    return {"count": threading.active_count()}


# The loop -----------------------------------------------------------------------------------------------------------------------------


def answer(fields):
    line = json.dumps(fields) + "\n"
    with lock:
        sys.stdout.write(line)
        sys.stdout.flush()


def perform(command):
    number, operation = command.pop("id"), command.pop("op")
    arguments = {key + "_" if key in ("socket", "sockets") else key: value for key, value in command.items()}
    try:
        answer({"id": number, **globals()["op_" + operation](**arguments)})
    except OSError as error:
        answer({"id": number, "failure": name_of(error)})
    except Exception as error:
        answer({"id": number, "failure": repr(error)})


for line in sys.stdin:
    threading.Thread(target=perform, args=(json.loads(line),), daemon=True).start()
os._exit(0)
