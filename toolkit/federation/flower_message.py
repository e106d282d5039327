"""Bytes in and out of Flower messages."""

from __future__ import annotations

from flwr.app import ConfigRecord, Message, MessageType, RecordDict

from toolkit.protocol.binary import MalformedMessageError

# One letter each: they travel with every message.
_RECORD, _FIELD = "f", "b"


def request_message(content: bytes, node: int, *, ttl_s: float) -> Message:
    return Message(_record(content), node, MessageType.TRAIN, ttl=ttl_s)


def reply_message(content: bytes, request: Message) -> Message:
    return Message(_record(content), reply_to=request)


def content_of(message: Message) -> bytes:
    """
    Raises:
        MalformedMessageError: the message holds something else than bytes of ours.
    """
    try:
        content = message.content[_RECORD][_FIELD]
    except (KeyError, ValueError) as error:
        raise MalformedMessageError("a message without content of fwdllm") from error
    if not isinstance(content, bytes):
        raise MalformedMessageError(f"a message holds {type(content).__name__}, not bytes")
    return content


def _record(content: bytes) -> RecordDict:
    return RecordDict({_RECORD: ConfigRecord({_FIELD: content})})
