"""Adapters, and the fakes that stand for them, are called alike: each has every method of its port, word for word."""

from __future__ import annotations

import inspect

import pytest

from deploykit import ports
from deploykit.providers.datadog import DatadogMetrics
from deploykit.providers.envoy import EnvoyRouter
from deploykit.providers.github import GithubRepository
from deploykit.providers.http import HttpxHttp
from deploykit.providers.railway import RailwayPlatform
from deploykit.providers.slack import SlackChat
from deploykit.providers.tls import HandshakeTls
from tests.world import FAKES

ADAPTERS = {
    "http": (ports.Http, HttpxHttp),
    "tls": (ports.Tls, HandshakeTls),
    "router": (ports.Router, EnvoyRouter),
    "platform": (ports.Platform, RailwayPlatform),
    "metrics": (ports.Metrics, DatadogMetrics),
    "repository": (ports.Repository, GithubRepository),
    "chat": (ports.Chat, SlackChat),
}


def shape(owner: object, name: str) -> list[tuple[str, object, object]]:
    parameters = inspect.signature(getattr(owner, name)).parameters.values()
    return [(one.name, one.kind, one.default) for one in parameters]


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_and_its_fake_have_the_methods_of_their_port(name: str) -> None:
    port, adapter = ADAPTERS[name]
    methods = [method for method in vars(port) if not method.startswith("_")]
    assert methods
    for method in methods:
        assert shape(adapter, method) == shape(FAKES[name], method) == shape(port, method), method
