"""What all tests of this folder share. MODELTAP_TEST_HOST names the library that is the host."""

import contextlib
import importlib
import os
import tempfile

from loopback import abroad  # before what it is to hold back

import anyio  # noqa: E402
import pytest  # noqa: E402

import common  # noqa: E402
import hook  # noqa: E402

NAME = os.environ.get("MODELTAP_TEST_HOST", "mcp2")
kind = importlib.import_module(f"host_{NAME}")

# What cannot be asked of a library that answers one request after the other, or knows one era only.
collect_ignore = [] if kind.CONCURRENT else ["test_concurrent.py"]
collect_ignore += [] if kind.MODERN else ["test_modern.py"]


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


# How connections are opened: the library's side of it, and the binary's arguments.
LEGACY = [pytest.param((era, []), id=era) for era in kind.LEGACY]
# It does not ask; what it sends is modern.
UNASKED = [pytest.param((era, []), id="modern unasked") for era in kind.MODERN if era != "auto"]
MODERN = [
    pytest.param((era, ["--era", "modern"]), id=f"modern by {era}") for era in kind.MODERN
] + UNASKED


@pytest.fixture(params=LEGACY)
def legacy(request, stderr):
    """Starts hosts of the legacy era: `async with legacy(model, tools=…, args=…) as host`."""
    era, args = request.param
    return lambda model=common.echo, **options: opened(era, args, stderr, model, **options)


@pytest.fixture(params=MODERN)
def modern(request, stderr):
    """Starts hosts of the modern era, likewise; their hook is not open."""
    era, args = request.param
    return lambda model=common.echo, **options: opened(era, args, stderr, model, **options)


@contextlib.asynccontextmanager
async def opened(era, era_args, stderr, model, args=(), **options):
    async with kind.start(era, model, stderr, args=[*era_args, *args], **options) as host:
        yield host


@pytest.fixture(params=LEGACY + MODERN)
def start(request, stderr):
    """Starts hosts of either era that lend their model. In the modern one that takes an open hook,
    which requests wait for.
    """
    era, args = request.param

    @contextlib.asynccontextmanager
    async def starter(model=common.echo, **options):
        if request.param in [param.values[0] for param in LEGACY] or not model:
            async with opened(era, args, stderr, model, **options) as host:
                yield host
        else:
            async with opened(era, args + hook.WAIT, stderr, model, **options) as host:
                host.way = "hook"
                async with anyio.create_task_group() as group:
                    group.start_soon(hook.keep_open, host)
                    yield host
                    group.cancel_scope.cancel()

    return starter
