"""What only the legacy era has."""

import common
import web
from conftest import kind


async def test_the_legacy_era_is_spoken(legacy):
    async with legacy() as host:
        assert host.version == "2025-11-25"


async def test_what_the_host_refuses_is_refused(legacy):
    async def denied(heard):
        raise common.Refused(-1, "the person said no")

    async with legacy(denied) as host:
        answer = await web.complete(await host.address(), "Hello")
        assert (answer.status, answer.error) == kind.REFUSED
        assert "the person said no" in answer.body
