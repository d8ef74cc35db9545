"""What all tests of this folder share. MODELTAP_TEST_HOST names the library that is the host."""

import contextlib
import importlib
import os
import tempfile

from loopback import abroad  # before what it is to hold back

import pytest  # noqa: E402

import common  # noqa: E402

NAME = os.environ.get("MODELTAP_TEST_HOST", "mcp2")
kind = importlib.import_module(f"host_{NAME}")

# What is said there cannot be asked of a library that answers one request after the other.
collect_ignore = [] if kind.CONCURRENT else ["test_concurrent.py"]


def pytest_report_header():
    return f"host: {NAME}"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
def nothing_leaves_this_machine():
    """No library may call home, neither in a test nor while it was imported."""
    yield
    assert abroad == []


@pytest.fixture
def stderr():
    """What the bridge tells, which is shown where a test fails."""
    with tempfile.TemporaryFile("w+") as file:
        yield file
        file.seek(0)
        print(file.read())


@pytest.fixture(params=kind.ERAS)
def start(request, stderr):
    """Starts a host with a model, in every era that this suite is about."""

    @contextlib.asynccontextmanager
    async def starter(model=common.echo, **options):
        async with kind.start(request.param, model, stderr, **options) as host:
            yield host

    return starter
