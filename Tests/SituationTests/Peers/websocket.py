"""A WebSocket echo: `serve PORT`, or `ask URL [PROXY_HOST PROXY_PORT]`, which ends with 0 if everything came back."""

import asyncio
import os
import socket
import sys
from urllib.parse import urlsplit

import websockets


async def serve(port):
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(echo, None, int(port), max_size=None):
        await asyncio.Future()


def tunnel(url, host, port):
    authority = urlsplit(url).netloc
    sock = socket.create_connection((host, int(port)), timeout=10)
    sock.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            sys.exit(f"the proxy says {head}")
        head += byte
    if b" 200 " not in head:
        sys.exit(f"the proxy says {head}")
    sock.settimeout(None)
    return sock


async def ask(url, *proxy):
    options = {"sock": tunnel(url, *proxy)} if proxy else {}
    async with websockets.connect(url, max_size=None, **options) as connection:
        for message in ("hello", "", "\u00fc" * 1000, os.urandom(3_000_000)):
            await connection.send(message)
            assert await connection.recv() == message
        await (await connection.ping())
    print(connection.close_code)


asyncio.run({"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:]))
