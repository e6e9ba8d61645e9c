"""A QUIC server that echoes streams, and a client that is told what to do; both by aioquic.

    quic.py serve HOST PORT CERTIFICATE KEY     says "ready" when it listens
    quic.py ask HOST PORT AUTHORITY             says "connected" when it is

Then the client reads one command a line from standard input. A number of bytes: it sends as many on a stream of its own, reads to the
end of the stream, and says {"bytes": those that came back, "equal": whether they are those that it sent, "sent": and "received": bytes
in datagrams so far}. "move ADDRESS": from now on it sends from another port, of that address of its own, and says {"port": the port}. End
of standard input closes the connection and ends the program.
"""

import asyncio
import hashlib
import json
import random
import socket
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration

PROTOCOLS = ["echo"]


async def echo(reader, writer):
    writer.write(await reader.read())
    writer.write_eof()


async def server(host, port, certificate, key):
    configuration = QuicConfiguration(alpn_protocols=PROTOCOLS, is_client=False)
    configuration.load_cert_chain(certificate, key)
    tasks = set()

    def begin(reader, writer):
        task = asyncio.create_task(echo(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    await serve(host, int(port), configuration=configuration, stream_handler=begin)
    print("ready", flush=True)
    await asyncio.Event().wait()


class Counting(QuicConnectionProtocol):
    """Counts what is in the datagrams, and can change its socket in the middle of a connection."""

    sent = received = 0

    def connection_made(self, transport):
        super().connection_made(self)
        self.socket = transport

    def sendto(self, data, place):
        self.sent += len(data)
        self.socket.sendto(data, place)

    def datagram_received(self, data, place):
        self.received += len(data)
        super().datagram_received(data, place)

    async def move(self, host):
        old = self.socket
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host if ":" in host else "::ffff:" + host, 0))
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock)
        old.close()
        return {"port": sock.getsockname()[1]}

    async def exchange(self, count):
        body = random.Random(count).randbytes(count)
        reader, writer = await self.create_stream()
        writer.write(body)
        writer.write_eof()
        answer = await reader.read()
        return {
            "bytes": len(answer),
            "equal": hashlib.sha256(answer).digest() == hashlib.sha256(body).digest(),
            "sent": self.sent,
            "received": self.received,
        }


async def client(host, port, authority):
    configuration = QuicConfiguration(alpn_protocols=PROTOCOLS, is_client=True, cafile=authority)
    async with connect(host, int(port), configuration=configuration, create_protocol=Counting) as connection:
        print("connected", flush=True)
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            answer = connection.move(words[1]) if words[0] == "move" else connection.exchange(int(words[0]))
            print(json.dumps(await answer), flush=True)


asyncio.run({"serve": server, "ask": client}[sys.argv[1]](*sys.argv[2:]))
