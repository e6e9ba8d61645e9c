"""Python's clients of HTTP, for HTTPRuntimesTests.swift, against `http_node.js serve`.

    http_clients.py httpx|aiohttp URL [PROXY]     prints what it found, as JSON
"""

import asyncio
import hashlib
import json
import sys

PAGE = b"x" * 300_000
PIECES = [bytes([number]) * (20_000 + number) for number in range(100)]
DIGEST = "PUT " + hashlib.sha256(b"".join(PIECES)).hexdigest()


async def pieces():
    for piece in PIECES:
        yield piece


async def with_httpx(url, proxy):
    import httpx

    async with httpx.AsyncClient(proxies=proxy, trust_env=False, timeout=15) as client:
        pages = [(await client.get(f"{url}/page?{number}")).content == PAGE for number in range(3)]
        put = (await client.put(f"{url}/digest", content=pieces())).text
        async with client.stream("POST", f"{url}/echo", content=pieces()) as response:
            back = b"".join([piece async for piece in response.aiter_bytes()])
        many = await asyncio.gather(*(client.post(f"{url}/echo", content=str(number)) for number in range(30)))
        return pages, put, back, [answer.text for answer in many]


async def with_aiohttp(url, proxy):
    import aiohttp

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(15)) as session:
        pages = []
        for number in range(3):
            async with session.get(f"{url}/page?{number}", proxy=proxy) as response:
                pages.append(await response.read() == PAGE)
        async with session.put(f"{url}/digest", data=pieces(), proxy=proxy) as response:
            put = await response.text()
        async with session.post(f"{url}/echo", data=pieces(), proxy=proxy) as response:
            back = b"".join([piece async for piece in response.content.iter_any()])

        async def post(number):
            async with session.post(f"{url}/echo", data=str(number).encode(), proxy=proxy) as response:
                return await response.text()

        return pages, put, back, await asyncio.gather(*(post(number) for number in range(30)))


async def main(name, url, proxy=None):
    found = await {"httpx": with_httpx, "aiohttp": with_aiohttp}[name](url, proxy)
    pages, put, back, many = found
    print(
        json.dumps(
            {
                "pages": sum(pages),
                "digest": put == DIGEST,
                "echo": back == b"".join(PIECES),
                "many": sum(text == str(number) for number, text in enumerate(many)),
            }
        )
    )


asyncio.run(main(*sys.argv[1:]))
