"""Requests to hosts and their responses as bytes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.federation.envelope import (
    Done,
    NotOpened,
    Open,
    Opened,
    Opening,
    Parcel,
    Request,
    Response,
    Work,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from toolkit.protocol.binary import MalformedMessageError

names = st.text(max_size=20)
sessions = st.integers(0, 2**64 - 1)
seconds = st.floats(width=32, min_value=0, max_value=1e6)
parcels = st.lists(
    st.builds(
        Parcel, names, st.integers(0, 2**32 - 1), st.integers(0, 65_535), st.binary(max_size=40)
    ),
    max_size=4,
).map(tuple)
requests = st.builds(Open, sessions, names, sessions, seconds) | st.builds(
    Work, sessions, seconds, parcels
)
responses = (
    st.builds(Opened, st.lists(st.tuples(names, st.integers(0, 2**32 - 1)), max_size=4).map(tuple))
    | st.just(Opening())
    | st.builds(NotOpened, names)
    | st.builds(Done, parcels, parcels)
)


@given(requests)
def test_requests_survive_the_wire(request: Request) -> None:
    assert decode_request(encode_request(request)) == request


@given(responses)
def test_responses_survive_the_wire(response: Response) -> None:
    assert decode_response(encode_response(response)) == response


@given(st.binary(max_size=100))
def test_foreign_bytes_do_no_worse_than_be_refused(message: bytes) -> None:
    with contextlib.suppress(MalformedMessageError):
        decode_request(message)
    with contextlib.suppress(MalformedMessageError):
        decode_response(message)


@given(requests, responses)
def test_more_than_a_message_is_refused(request: Request, response: Response) -> None:
    with pytest.raises(MalformedMessageError):
        decode_request(encode_request(request) + b"\0")
    with pytest.raises(MalformedMessageError):
        decode_response(encode_response(response) + b"\0")
