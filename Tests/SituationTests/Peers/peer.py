"""A peer, of TCP and UDP, that does exactly what it is told, and says exactly what it saw.

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

from icap import op_icap, op_icap_release, op_icap_seen

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


def place_of(host, port):
    """With the number of the interface that a link-local address names."""
    return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)[0][4] if "%" in host else (host, port)


def open_socket(host, source=None, source_port=0, receive_buffer=0, send_buffer=0):
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if send_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    if source or source_port:
        sock.bind(place_of(source or ("::" if ":" in host else "0.0.0.0"), source_port))
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


def op_send_acknowledged(socket_, text):
    """Sends `text`, and tells after how many seconds the other side had acknowledged it."""
    sock = find(socket_)
    started = time.monotonic()
    sock.sendall(text.encode("latin-1"))
    left = bytearray(4)
    while fcntl.ioctl(sock, termios.TIOCOUTQ, left) is not None and int.from_bytes(left, sys.byteorder):
        if time.monotonic() - started > WAIT:
            raise TimeoutError
        time.sleep(0.001)
    return {"seconds": time.monotonic() - started}


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


def gather(socket_, timeout, wanted):
    """What comes for as long as `wanted`, which says how many bytes to ask for, is not 0; and the ending, `more` when there was none."""
    sock = find(socket_)
    sock.settimeout(timeout)
    data, end = b"", "more"
    while most := wanted(data):
        try:
            piece = sock.recv(most)
        except OSError as error:
            end = name_of(error)
            break
        if not piece:
            end = "fin"
            break
        data += piece
    return {"text": data.decode("latin-1"), "end": end}


def op_receive(socket_, bytes, timeout=WAIT):
    """Exactly `bytes` bytes, or fewer and the ending."""
    return gather(socket_, timeout, lambda data: bytes - len(data))


def op_receive_until(socket_, text, timeout=WAIT):
    """Up to that text and no further, or as far as it came and the ending."""
    end = text.encode("latin-1")
    return gather(socket_, timeout, lambda data: not data.endswith(end))


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
    """Serves every connection in the background until the listener is closed. "echo" sends back what it reads; "greet" speaks and ends first, and
    so does "tell", of the address that it sees."""
    listener = find(socket_)
    listener.settimeout(None)

    def one(sock):
        with sock:
            try:
                if manner in ("greet", "tell"):
                    sock.sendall((greeting if manner == "greet" else sock.getpeername()[0]).encode())
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


def op_flood(host, port, count, sources=()):
    """Opens `count` connections at once, from each of the sources in turn if there are any, and keeps them."""
    numbers = []
    for place in range(count):
        sock = open_socket(host, sources[place % len(sources)] if sources else None)
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


def exchange(host, port, pieces=(), pause=0, then="wait", timeout=WAIT, source=None):
    """Sends `pieces`, in hexadecimal, one after the other; then ends its direction ("fin"), resets ("rst"), or waits. Reads to the end: what
    came, in hexadecimal, how it ended, and how many seconds after the last byte."""
    sock = open_socket(host, source=source)
    sock.settimeout(timeout)
    data, end = b"", "rst"
    started = time.monotonic()
    try:
        sock.connect((host, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        sock.close()
        return {"text": "", "end": "connect: " + name_of(error), "seconds": 0}
    try:
        for index, piece in enumerate(pieces):
            if index > 0 and pause:
                time.sleep(pause)
            sock.sendall(bytes.fromhex(piece))
        if then == "fin":
            sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # It may have heard enough already; what it said is still to be read.
    if then == "rst":
        reset(sock)
        return {"text": "", "end": "rst", "seconds": 0}
    told = time.monotonic()
    while True:
        try:
            piece = sock.recv(1 << 16)
        except OSError as error:
            end = name_of(error)
            break
        if not piece:
            end = "fin"
            break
        data += piece
        told = time.monotonic()
    now = time.monotonic()
    sock.close()
    return {"text": data.hex(), "end": end, "seconds": now - told, "whole": now - started}


def op_exchanges(rows, together=64):
    """Many of them, `together` at a time."""
    answers, left = [None] * len(rows), list(enumerate(rows))

    def some():
        while True:
            try:
                number, row = left.pop()
            except IndexError:
                return
            answers[number] = exchange(**row)

    workers = [threading.Thread(target=some, daemon=True) for _ in range(min(together, len(rows)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return {"answers": answers}


def mutated(text, chance):
    """`text`, in hexadecimal, with a few bytes changed, left out, doubled or put in."""
    bytes_ = bytearray.fromhex(text)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        place = chance.randrange(len(bytes_) + 1)
        manner = chance.randrange(5)
        if manner == 0 and place < len(bytes_):
            bytes_[place] = chance.randrange(256)
        elif manner == 1 and place < len(bytes_):
            bytes_[place] ^= 1 << chance.randrange(8)
        elif manner == 2:
            del bytes_[place : place + chance.choice((1, 1, 4, 64))]
        elif manner == 3:
            bytes_[place:place] = bytes_[place : place + chance.choice((1, 8, 64))]
        else:
            bytes_[place:place] = chance.randbytes(chance.choice((1, 2, 300)))
    return bytes(bytes_)


def op_mutations(host, port, text, count, seed):
    """`count` connections that each send a mutation of `text`, in hexadecimal, then a FIN."""
    chance, endings, rows = random.Random(seed), {}, []
    for _ in range(count):
        piece = mutated(text, chance).hex()
        rows.append({"host": host, "port": port, "pieces": [piece], "then": chance.choice(("fin", "fin", "rst"))})
    for answer in op_exchanges(rows, 16)["answers"]:
        endings[answer["end"]] = endings.get(answer["end"], 0) + 1
    return {"endings": endings}


def op_trickle(host, port, count, text, pause):
    """`count` connections that each send one byte of `text` every `pause` seconds, over and over, until the other side ends them; answers when
    all are open, and goes on in the background. `trickled` tells how they fared."""
    open_ones = []
    for _ in range(count):
        sock = open_socket(host)
        sock.settimeout(WAIT)
        sock.connect((host, port))
        sock.setblocking(False)
        open_ones.append(sock)
    state = {"open": len(open_ones), "ends": {}, "times": [], "started": time.monotonic()}
    text = text.encode("latin-1")

    def go_on():
        place = 0
        while open_ones:
            for sock in list(open_ones):
                end = None
                try:
                    sock.send(text[place % len(text) : place % len(text) + 1])
                    while True:
                        if not sock.recv(4096):
                            end = "fin"
                            break
                except BlockingIOError:
                    pass
                except OSError as error:
                    end = name_of(error)
                if end:
                    state["ends"][end] = state["ends"].get(end, 0) + 1
                    state["times"].append(time.monotonic() - state["started"])
                    open_ones.remove(sock)
                    sock.close()
            state["open"] = len(open_ones)
            place += 1
            time.sleep(pause)

    threading.Thread(target=go_on, daemon=True).start()
    return {"socket": keep(state)}


def op_trickled(socket_):
    state = find(socket_)
    return {"open": state["open"], "ends": state["ends"], "slowest": max(state["times"], default=0)}


def op_count(socket_):
    """Takes connections in the background and counts them: a listener that nobody should find. `counted` tells how many came."""
    listener = find(socket_)
    listener.settimeout(None)
    state = {"count": 0}

    def all_of_them():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            state["count"] += 1
            sock.close()

    threading.Thread(target=all_of_them, daemon=True).start()
    return {"socket": keep(state)}


def op_counted(socket_):
    return {"count": find(socket_)["count"]}


def op_name_server(names, host="127.0.0.1", port=53, delay=0, dead="."):
    """A name server for a few names, each with a list of answers that are given in turn, each a list of addresses. It denies all other names;
    `asked` tells what it was asked for. Each answer takes `delay` seconds; names that end in `dead` get none."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, port))
    state, turns = {"asked": []}, {}

    def answers():
        while True:
            question, client = sock.recvfrom(512)
            labels, place = [], 12
            while question[place]:
                labels.append(question[place + 1 : place + 1 + question[place]].decode("latin-1"))
                place += 1 + question[place]
            name, kind = ".".join(labels).lower(), struct.unpack_from("!H", question, place + 1)[0]
            state["asked"].append(name + (" A" if kind == 1 else " AAAA" if kind == 28 else " ?"))
            if name.endswith(dead):
                continue
            turn = turns[name, kind] = turns.get((name, kind), -1) + 1
            addresses = names[name][turn % len(names[name])] if name in names else []
            found = [a for a in addresses if (":" in a) == (kind == 28) and kind in (1, 28)]
            body = b"".join(
                struct.pack("!HHHIH", 0xC00C, kind, 1, 0, 16 if ":" in a else 4) + socket.inet_pton(family_of(a), a) for a in found
            )
            flags = 0x8180 if name in names else 0x8183
            header = question[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
            answer = header + question[12 : place + 5] + body
            threading.Timer(delay, sock.sendto, (answer, client)).start()

    threading.Thread(target=answers, daemon=True).start()
    return {"socket": keep(state)}


def op_asked(socket_):
    return {"names": find(socket_)["asked"]}


def op_round_trips(host, port, count, request, reply, text, pause=0):
    """`count` connections, one after the other, that each send `request` and read `reply` bytes (hexadecimal, and how many), then send `text`
    and read it back: seconds for each."""
    seconds = []
    for _ in range(count):
        started = time.monotonic()
        with open_socket(host) as sock:
            sock.settimeout(WAIT)
            sock.connect((host, port))
            sock.sendall(bytes.fromhex(request) + text.encode())
            wanted, data = reply + len(text), b""
            while len(data) < wanted:
                piece = sock.recv(wanted - len(data))
                if not piece:
                    raise OSError(errno.EPIPE, "ended early: " + data.hex())
                data += piece
            if data[reply:] != text.encode():
                raise OSError(errno.EPROTO, "not what was sent")
        seconds.append(time.monotonic() - started)
        if pause:
            time.sleep(pause)
    return {"seconds": seconds}


def op_ntp_server(host, ahead):
    """Tells whoever asks by NTP (RFC 5905) the time, `ahead` seconds too early, in the background."""
    sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
    sock.bind((host, 123))

    def now():
        return struct.pack("!Q", int((time.time() + ahead + 2_208_988_800) * (1 << 32)) & ((1 << 64) - 1))

    def answers():
        while True:
            question, client = sock.recvfrom(512)
            received = now()
            header = struct.pack("!BBbbII4s", 0o44, 1, 4, -20, 0, 0, b"TEST")
            sock.sendto(header + received + question[40:48] + received + now(), client)

    threading.Thread(target=answers, daemon=True).start()
    return {"socket": keep(sock)}


# Datagrams ----------------------------------------------------------------------------------------------------------------------------


def op_udp(host, port=0, to=None, count=1):
    """Sockets bound to `host`, from `port` on or to free ones; with `to` they are connected to that host and port, and hear of ICMP's errors."""
    made, ports = [], []
    for index in range(count):
        sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
        if ":" in host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
        except PermissionError:  # In a user namespace: what the host lets anybody have.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.bind(place_of(host, port + index if port else 0))
        if to:
            # IPV6_RECVERR, IP_RECVERR: without, the kernel keeps to itself that a host cannot be reached.
            sock.setsockopt(*((socket.IPPROTO_IPV6, 25, 1) if ":" in host else (socket.IPPROTO_IP, 11, 1)))
            sock.connect(tuple(to))
        sock.settimeout(WAIT)
        made.append(keep(sock))
        ports.append(sock.getsockname()[1])
    return {"socket": made[0], "port": ports[0], "sockets": made, "ports": ports}


def op_udp_send(socket_, datagrams, to=None):
    """Sends datagrams, in hexadecimal, to a host and port, or to whom the socket is connected."""
    sock = find(socket_)
    for datagram in datagrams:
        if to:
            sock.sendto(bytes.fromhex(datagram), place_of(*to))
        else:
            sock.send(bytes.fromhex(datagram))
    return {}


def op_udp_take(socket_, count=1, timeout=WAIT):
    """Receives `count` datagrams: each in hexadecimal, and who sent it, as "ADDRESS PORT"."""
    sock = find(socket_)
    sock.settimeout(timeout)
    datagrams, senders = [], []
    for _ in range(count):
        data, peer = sock.recvfrom(1 << 16)
        datagrams.append(data.hex())
        senders.append(f"{peer[0]} {peer[1]}")
    return {"datagrams": datagrams, "senders": senders}


def op_udp_waiting(socket_):
    """How many datagrams have come that nobody has taken."""
    sock, count = find(socket_), 0
    # With a time-out from an earlier question, Python would wait for that long, whatever the flags say.
    sock.settimeout(0)
    try:
        while True:
            sock.recv(1 << 16)
            count += 1
    except BlockingIOError:
        return {"count": count}


def op_udp_ask(socket_, to, sizes=(4,), timeout=WAIT, prefix=""):
    """Sends a datagram of each size, and waits for its answer before the next: for each "ADDRESS PORT" of who answered with the same bytes,
    "other bytes", or an errno's name. `prefix`, in hexadecimal, goes before each, and is expected before each answer."""
    sock, answers = find(socket_), []
    sock.settimeout(timeout)
    for number, size in enumerate(sizes):
        data = bytes.fromhex(prefix) + random.Random(size * 31 + number).randbytes(size)
        try:
            if to:
                sock.sendto(data, tuple(to))
            else:
                sock.send(data)
            answer, peer = sock.recvfrom(1 << 16)
            answers.append(f"{peer[0]} {peer[1]}" if answer == data else "other bytes")
        except OSError as error:
            answers.append(name_of(error))
    return {"answers": answers}


def op_udp_ask_all(sockets_, to, timeout=WAIT):
    """Has each of the sockets ask each of the destinations once, and waits for all answers: how many came from where they should, and how many
    sources each socket was answered by."""
    correct = 0
    for number in sockets_:
        sock = find(number)
        sock.settimeout(timeout)
        for place in to:
            sock.sendto(f"{number} {place[1]}".encode(), tuple(place))
        for _ in to:
            data, peer = sock.recvfrom(1 << 16)
            correct += data == f"{number} {peer[1]}".encode()
    return {"correct": correct}


def op_udp_mutations(socket_, to, texts, count, seed, barrier):
    """Sends `count` mutations of the texts, in hexadecimal, to a relay. After each 50 it sends `barrier`, with a number, and reads until that
    comes back, so that no queue overflows: how many barriers there were."""
    chance, sock, barriers = random.Random(seed), find(socket_), 0
    sock.settimeout(WAIT)
    for number in range(count):
        sock.sendto(mutated(texts[number % len(texts)], chance), tuple(to))
        if number % 50 == 49:
            last = bytes.fromhex(barrier) + b"barrier %d" % number
            sock.sendto(last, tuple(to))
            barriers += 1
            while sock.recv(1 << 16) != last:
                pass
    return {"barriers": barriers}


def op_udp_echo(socket_):
    """Sends back what comes, in the background; `udp_heard` tells who spoke."""
    sock, state = find(socket_), {"speakers": {}, "count": 0}
    sock.settimeout(None)

    def answers():
        while True:
            try:
                data, peer = sock.recvfrom(1 << 16)
            except OSError:
                return
            state["count"] += 1
            speaker = f"{peer[0]} {peer[1]}"
            state["speakers"][speaker] = state["speakers"].get(speaker, 0) + 1
            try:
                sock.sendto(data, peer)
            except OSError:
                pass  # Nobody is there any more.

    threading.Thread(target=answers, daemon=True).start()
    return {"socket": keep(state)}


def op_udp_heard(socket_):
    state = find(socket_)
    return {"count": state["count"], "speakers": sorted(state["speakers"])}


def op_udp_abandon(sources, ports, to, destination_ports, barrier):
    """Opens a flow from each of the ports of each source address to each destination port, as fast as it goes, and answers none. After each
    thousand it asks the echo at `barrier` and waits for its answer, so that no queue overflows."""
    opened = 0
    asker = socket.socket(family_of(to), socket.SOCK_DGRAM)
    asker.settimeout(WAIT)
    asker.connect(tuple(barrier))
    for source in sources:
        for port in range(ports[0], ports[1]):
            with socket.socket(family_of(to), socket.SOCK_DGRAM) as sock:
                sock.bind((source, port))
                for destination_port in range(destination_ports[0], destination_ports[1]):
                    sock.sendto(b"x", (to, destination_port))
                    opened += 1
                    if opened % 1000 == 0:
                        asker.send(b"barrier")
                        asker.recv(16)
    return {"opened": opened}


def op_associate(host, port, declared=("0.0.0.0", 0), source=None):
    """Asks a SOCKS5 server for an association: the connection that holds it, and where the server relays."""
    sock = open_socket(host, source=source)
    sock.settimeout(WAIT)
    sock.connect(place_of(host, port))
    address = socket.inet_pton(family_of(declared[0]), declared[0])
    sock.sendall(b"\5\1\0\5\3\0" + (b"\1" if len(address) == 4 else b"\4") + address + struct.pack("!H", declared[1]))
    reply = b""
    while len(reply) < 6 or len(reply) < (12 if reply[5] == 1 else 24):
        piece = sock.recv(64)
        if not piece:
            return {"reply": reply.hex(), "socket": keep(sock)}
        reply += piece
    bound = reply[6:-2]
    return {
        "reply": reply.hex(),
        "socket": keep(sock),
        "host": socket.inet_ntop(socket.AF_INET if len(bound) == 4 else socket.AF_INET6, bound),
        "port": struct.unpack("!H", reply[-2:])[0],
    }


def op_slow_relay(host, port, bound=None, answer_port=0):
    """A SOCKS5 proxy that answers UDP ASSOCIATE when it is told to, by `release`, and then sends back whatever comes to its relay, header and
    all; with `answer_port` as if it came from that port (IPv4). `relayed` tells how far it is. `bound`: where it says that it relays."""
    listener = open_socket(host)
    listener.bind((host, port))
    listener.listen(16)
    state = {"requests": 0, "heard": [], "open": 0, "released": threading.Event()}

    def relay(sock):
        while True:
            data, peer = sock.recvfrom(1 << 16)
            state["heard"].append(data.hex())
            sock.sendto(data[:8] + struct.pack("!H", answer_port) + data[10:] if answer_port else data, peer)

    def one(sock):
        with sock, socket.socket(family_of(host), socket.SOCK_DGRAM) as udp:
            if sock.recv(3) != b"\5\1\0":
                return
            sock.sendall(b"\5\0")
            sock.recv(64)
            state["requests"] += 1
            state["open"] += 1
            state["released"].wait()
            udp.bind((host, 0))
            threading.Thread(target=relay, args=(udp,), daemon=True).start()
            address = socket.inet_pton(family_of(bound or host), bound or host)
            sock.sendall(b"\5\0\0" + (b"\1" if len(address) == 4 else b"\4") + address + struct.pack("!H", udp.getsockname()[1]))
            try:
                sock.recv(1)
            except OSError:
                pass
            state["open"] -= 1

    def all_of_them():
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=one, args=(sock,), daemon=True).start()

    threading.Thread(target=all_of_them, daemon=True).start()
    return {"socket": keep(state)}


def op_release(socket_):
    find(socket_)["released"].set()
    return {}


def op_relayed(socket_):
    state = find(socket_)
    return {"requests": state["requests"], "open": state["open"], "heard": state["heard"]}


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
