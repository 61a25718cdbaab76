from __future__ import annotations

import json

import pytest
from opentelemetry.semconv._incubating.attributes import messaging_attributes as attributes
from opentelemetry.semconv._incubating.metrics import messaging_metrics as metrics
from opentelemetry.semconv.attributes import error_attributes, server_attributes

from nsqclient import NoNodes, PublishRejected
from nsqclient.telemetry import conventions as name


def test_the_names_are_those_of_the_conventions() -> None:
    assert name.SYSTEM == attributes.MESSAGING_SYSTEM
    assert name.DESTINATION == attributes.MESSAGING_DESTINATION_NAME
    assert name.SUBSCRIPTION == attributes.MESSAGING_DESTINATION_SUBSCRIPTION_NAME
    assert name.OPERATION == attributes.MESSAGING_OPERATION_NAME
    assert name.OPERATION_TYPE == attributes.MESSAGING_OPERATION_TYPE
    assert name.MESSAGE_ID == attributes.MESSAGING_MESSAGE_ID
    assert name.BODY_SIZE == attributes.MESSAGING_MESSAGE_BODY_SIZE
    assert name.BATCH_COUNT == attributes.MESSAGING_BATCH_MESSAGE_COUNT
    assert name.ADDRESS == server_attributes.SERVER_ADDRESS
    assert name.PORT == server_attributes.SERVER_PORT
    assert name.ERROR == error_attributes.ERROR_TYPE
    assert name.SENT == metrics.MESSAGING_CLIENT_SENT_MESSAGES
    assert name.CONSUMED == metrics.MESSAGING_CLIENT_CONSUMED_MESSAGES
    assert name.OPERATION_DURATION == metrics.MESSAGING_CLIENT_OPERATION_DURATION
    assert name.PROCESS_DURATION == metrics.MESSAGING_PROCESS_DURATION


@pytest.mark.parametrize(
    ("node", "attributes"),
    [
        ("10.0.0.1:4150", {"server.address": "10.0.0.1", "server.port": 4150}),
        ("[::1]:4150", {"server.address": "::1", "server.port": 4150}),
        ("unix:/run/nsqd.sock", {"server.address": "/run/nsqd.sock"}),
        ("memory", {"server.address": "memory"}),
        ("", {}),
    ],
)
def test_a_node_is_told_as_a_server(node: str, attributes: dict[str, str | int]) -> None:
    assert name.server(node) == attributes


def test_errors_are_told_by_words_of_which_there_are_few() -> None:
    assert name.error_type(ValueError("a b c")) == "ValueError"
    assert name.error_type(NoNodes("nobody there")) == "NoNodes"
    assert name.error_type(PublishRejected("no", code="E_BAD_TOPIC")) == "E_BAD_TOPIC"
    assert name.error_type(json.JSONDecodeError("x", "", 0)) == "json.decoder.JSONDecodeError"
