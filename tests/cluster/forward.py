"""Passes connections on to a server: python forward.py ADDRESS PORT TO_PORT. Killed, it is a server that is down."""

import asyncio
import contextlib
import sys

ADDRESS, PORT, TO_PORT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    to_reader, to_writer = await asyncio.open_connection("127.0.0.1", TO_PORT)
    await asyncio.gather(_copy(reader, to_writer), _copy(to_reader, writer))


async def _main() -> None:
    server = await asyncio.start_server(_pass, ADDRESS, PORT)
    async with server:
        await server.serve_forever()


asyncio.run(_main())
