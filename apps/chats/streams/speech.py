"""Speech: recordings written down, texts spoken, by models of the tenant's choice."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import PurePosixPath

from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Router

from apps.accounts.language_models import speech_to_text_for, text_to_speech_for
from apps.accounts.models import Tenant
from apps.accounts.selectors import tenant_or_none
from apps.chats import api_schema
from apps.chats.encoders import error_text
from apps.core.bodies import read_object
from apps.core.errors import BadValue, DataError, TooLarge
from apps.core.http import success_response
from apps.core.limits import flowing, whole
from apps.core.principal import Principal
from apps.core.sse import frame
from apps.core.threads import in_database
from apps.core.uploads import accept_files
from ragflow.engine.speech.base import Audio, SpeechToText, TextToSpeech
from ragflow.engine.speech.speaking import speak, spoken_text

router = Router(tags=["speech"])

SUFFIXES = (".aac", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav", ".webm", ".wma")
LARGEST_RECORDING = 100 * 1024**2  # bytes; it is sent from memory
LONGEST_TEXT = 100_000  # characters to speak: some two hours


@router.post("/api/v1/sequence2txt", summary="Write down a recording", openapi_extra=api_schema.TRANSCRIBE)
async def transcribe(request: HttpRequest) -> HttpResponseBase:
    """Return the text of a recording, or with `stream` its pieces as they come."""
    principal: Principal = request.auth  # type: ignore[attr-defined]
    model, audio, streams = await in_database(_open_recording, principal, request)
    pieces = model.transcribe(audio)
    if streams:
        return await flowing(_transcript_frames(pieces), on_error=_transcript_failure)
    return success_response({"text": await whole(_joined(pieces))})


def _open_recording(principal: Principal, request: HttpRequest) -> tuple[SpeechToText, Audio, bool]:
    accept_files(request)
    file = request.FILES.get("file")
    if file is None:
        raise DataError("Missing 'file' in multipart form-data")
    name = PurePosixPath(file.name or "").name
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"Unsupported audio format: {suffix}. Allowed: {', '.join(SUFFIXES)}")
    model = speech_to_text_for(_tenant(principal))
    if model is None:
        raise DataError("No default ASR model is set")
    if (file.size or 0) > LARGEST_RECORDING:
        raise TooLarge(f"The recording is larger than the {LARGEST_RECORDING} bytes that this server passes on.")
    return model, Audio(name, file.read()), request.POST.get("stream", "").lower() == "true"


async def _joined(pieces: AsyncGenerator[str, None]) -> str:
    async with aclosing(pieces):
        return "".join([piece async for piece in pieces])


async def _transcript_frames(pieces: AsyncGenerator[str, None]) -> AsyncGenerator[bytes, None]:
    texts = []
    async with aclosing(pieces):
        async for piece in pieces:
            texts.append(piece)
            yield frame({"event": "delta", "text": piece}, space=True)
    yield frame({"event": "final", "text": "".join(texts)}, space=True)


def _transcript_failure(exc: Exception) -> list[bytes]:
    return [frame({"event": "error", "text": error_text(exc)}, space=True)]


@router.post("/api/v1/tts", summary="Speak a text", openapi_extra=api_schema.SPEAK)
async def tts(request: HttpRequest) -> HttpResponseBase:
    """Return the MP3 of a text while it is made, sentence by sentence."""
    principal: Principal = request.auth  # type: ignore[attr-defined]
    model, text = await in_database(_open_text, principal, request)
    audio = speak(model, text)
    first = await anext(audio, b"")  # a failure before it is an ordinary answer
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(_rest(first, audio), content_type="audio/mpeg", headers=headers)


def _open_text(principal: Principal, request: HttpRequest) -> tuple[TextToSpeech, str]:
    text = read_object(request).get("text")
    if not isinstance(text, str):
        raise BadValue("`text` is required: the text to speak.", reference="KeyError('text')")
    model = text_to_speech_for(_tenant(principal))
    if model is None:
        raise DataError("No default TTS model is set")
    if len(text) > LONGEST_TEXT:
        raise DataError(f"`text` has {len(text)} characters; at most {LONGEST_TEXT} are spoken at once.")
    if not spoken_text(text):
        raise DataError("`text` must hold something that can be spoken.")
    return model, text


async def _rest(first: bytes, audio: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield the audio on. When the client leaves, the request to the provider ends with it."""
    async with aclosing(audio):
        yield first
        async for block in audio:
            yield block


def _tenant(principal: Principal) -> Tenant:
    tenant = tenant_or_none(principal)
    if tenant is None:
        raise DataError("Tenant not found!")
    return tenant
