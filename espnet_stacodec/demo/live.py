"""A recording that is encoded and resynthesized as it comes, over a websocket.

The page sends samples (`pcm`) as binary messages, and as text, in JSON:

- `{"codebooks": n}`: from now on resynthesize from the first n;
- `{"end": true}`: that was all.

It gets the codes of each frame that is complete, and what they sound like:

- `{"codes": [[...], ...]}`, a list for each codebook, then a binary message with the samples;
- `{"end": true, "samples": N, "note": ""}`, at the end; the note says why, if the page did not;
- `{"error": "one sentence."}`, after which nothing comes.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from starlette.websockets import WebSocket, WebSocketDisconnect

from espnet_stacodec.config import whole_number
from espnet_stacodec.demo import pcm
from espnet_stacodec.demo.coder import Coder
from espnet_stacodec.demo.limits import MAX_STREAM_SECONDS
from espnet_stacodec.errors import DataError, STACodecError
from espnet_stacodec.inference.audio_coding import AudioCoding

POLICY_VIOLATION = 1008


class LiveCoding:
    """The two streams of one recording.

    Args:
        codec: A causal one.

    Raises:
        STACodecError: If it cannot encode streams.
    """

    def __init__(self, codec: AudioCoding) -> None:
        self._encoder = codec.encoder_stream()
        self._player = codec.decoder_stream()

    def push(self, data: bytes, n_codebooks: int) -> tuple[list[list[int]], bytes]:
        """Return the codes that samples complete, and the audio of the first n of them."""
        return self._decode(self._encoder.push(pcm.from_bytes(data)), n_codebooks)

    def finish(self, n_codebooks: int) -> tuple[list[list[int]], bytes]:
        """Return the codes and the audio of the last frames."""
        return self._decode(self._encoder.flush(), n_codebooks)

    def _decode(self, codes: torch.Tensor, n_codebooks: int) -> tuple[list[list[int]], bytes]:
        return codes.tolist(), pcm.to_bytes(self._player.push(codes[:n_codebooks]))


class Inbox:
    """What the page has sent and nobody has taken yet.

    What has arrived is taken together: a codec that has fallen behind catches up.

    Attributes:
        n_codebooks: What the page chose last.
        num_samples: That have come.
        note: Why the recording was ended, if the page did not end it.
    """

    def __init__(self, codec: AudioCoding) -> None:
        self.n_codebooks = codec.n_codebooks
        self.num_samples = 0
        self.note = ""
        self._highest = codec.n_codebooks
        self._room = MAX_STREAM_SECONDS * codec.sample_rate
        self._data = bytearray()
        self._news = asyncio.Event()

    async def fill(self, websocket: WebSocket) -> None:
        """Receive until the recording has ended.

        Raises:
            WebSocketDisconnect: If the page is gone.
            STACodecError: If a message cannot be used.
        """
        try:
            while self._put(await websocket.receive()):
                self._news.set()
        finally:
            self._news.set()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        return not self._data

    async def take(self) -> bytes:
        """Return the samples that have come since the last call, after waiting for news if none."""
        if self.is_empty:
            await self._news.wait()
        self._news.clear()
        data, self._data = bytes(self._data), bytearray()
        return data

    def _put(self, message: Mapping[str, Any]) -> bool:
        """Take a message; return whether more may come."""
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        data = message.get("bytes")
        if data is None:
            return self._obey(message["text"])
        samples = len(pcm.from_bytes(data))
        kept = min(samples, self._room - self.num_samples)
        self._data += data[: kept * pcm.SAMPLE.itemsize]
        self.num_samples += kept
        if kept < samples:
            self.note = f"A recording ends after {MAX_STREAM_SECONDS} s."
        return kept == samples

    def _obey(self, text: str) -> bool:
        try:
            order = json.loads(text)
        except (ValueError, RecursionError):
            order = None
        if order == {"end": True}:
            return False
        if isinstance(order, dict) and order.keys() == {"codebooks"}:
            chosen = order["codebooks"]
            if type(chosen) is int:
                self.n_codebooks = whole_number("codebooks", chosen, 1, self._highest)
                return True
        raise DataError("a message of the page is not understood; load the page again.")


async def serve_recording(websocket: WebSocket, coder: Coder) -> None:
    """Encode and resynthesize one recording, until it ends, or the page or the server is gone."""
    await websocket.accept()
    # Ctrl-C closes the socket, and cancels what takes longer than the server waits.
    with contextlib.suppress(WebSocketDisconnect, asyncio.CancelledError):
        try:
            await _serve(websocket, coder)
        except STACodecError as error:
            await websocket.send_json({"error": str(error)})
            await websocket.close(POLICY_VIOLATION)
        else:
            await websocket.close()


async def _serve(websocket: WebSocket, coder: Coder) -> None:
    async def tell(coded: tuple[list[list[int]], bytes]) -> None:
        codes, audio = coded
        if audio:
            await websocket.send_json({"codes": codes})
            await websocket.send_bytes(audio)

    coder.check_page(websocket.query_params.get("codec"))
    live = await coder.run(LiveCoding, coder.codec)
    inbox = Inbox(coder.codec)
    filling = asyncio.create_task(inbox.fill(websocket))
    try:
        while not (filling.done() and inbox.is_empty):
            if data := await inbox.take():
                await tell(await coder.run(live.push, data, inbox.n_codebooks))
        filling.result()  # raises what ended it
        await tell(await coder.run(live.finish, inbox.n_codebooks))
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
    await websocket.send_json({"end": True, "samples": inbox.num_samples, "note": inbox.note})
