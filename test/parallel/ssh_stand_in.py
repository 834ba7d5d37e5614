"""Stands in for asyncssh: its hosts are shells of this machine; one refuses every login."""

import asyncio
import subprocess
from typing import IO, Any


class Error(Exception):
    """As asyncssh's: no class of Python's own errors."""


class Reader:
    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream

    async def readline(self) -> str:
        return (await asyncio.to_thread(self.stream.readline)).decode()


class Process:
    def __init__(self, command: str) -> None:
        self.process = subprocess.Popen(
            f"exec {command}", shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert self.process.stderr is not None
        self.stderr = Reader(self.process.stderr)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Result:
    exit_status = 0


class Connection:
    async def run(self, command: str) -> Result:
        return Result()

    async def create_process(self, command: str) -> Process:
        return Process(command)

    def close(self) -> None:
        pass


async def connect(host: str, **options: Any) -> Connection:
    if host == "closed" or options.get("username") == "stranger":
        raise Error(f"Permission denied for user {options.get('username')} on host {host}")
    return Connection()
