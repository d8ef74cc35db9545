"""What all files of this suite share: a clean environment, and hosts that end with their test."""

import contextlib
import os
import tempfile

# Some clients fetch lists of models and prices, or report what they do. This is read when they are
# imported, so it must be said before.
os.environ |= {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_MODE": "PRODUCTION",  # else it reads a .env file
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "HF_HUB_OFFLINE": "1",
}

from loopback import abroad  # noqa: E402

# A folder that is not there: no profile of the user's is found.
os.environ["ANTHROPIC_CONFIG_DIR"] = os.path.join(tempfile.gettempdir(), "modeltap-no-such-folder")

import anthropic  # noqa: E402
import openai  # noqa: E402
import pytest  # noqa: E402

import hosts  # noqa: E402


@pytest.fixture(autouse=True)
def nothing_leaves_this_machine():
    """No client may call home, neither in a test nor while it was imported."""
    yield
    assert abroad == []


@pytest.fixture
def start():
    """Starts hosts: `start(hosts.Host, …)`. At the end each must go as it should; what the bridge
    told on stderr is shown where the test fails.
    """
    with tempfile.TemporaryFile("w+") as stderr, contextlib.ExitStack() as running:
        yield lambda kind, **options: running.enter_context(kind(stderr, **options))
        running.close()
        stderr.seek(0)
        print(stderr.read())


@pytest.fixture
def host(start):
    """A bridge whose model echoes, many requests at once."""
    return start(hosts.ConcurrentHost)


@pytest.fixture(params=[True, False], ids=["tools as such", "tools in words"])
def host_of(start, request):
    """A bridge to this model, on a host that takes tools in sampling and on one that does not."""
    return lambda model: start(hosts.ConcurrentHost, model=model, tools=request.param)


@pytest.fixture
def client_of():
    """An OpenAI client of a host's bridge, as its users make one; without retries, so that a test
    sees the first answer.
    """
    with contextlib.ExitStack() as made:

        def make(host, **options):
            options = {"api_key": "unused", "max_retries": 0, "timeout": hosts.PATIENCE} | options
            return made.enter_context(openai.OpenAI(base_url=host.url, **options))

        yield make


@pytest.fixture
def anthropic_of():
    """An Anthropic client of a host's bridge, likewise."""
    with contextlib.ExitStack() as made:

        def make(host, **options):
            if "auth_token" not in options:
                options = {"api_key": "unused"} | options
            options = {"max_retries": 0, "timeout": hosts.PATIENCE} | options
            return made.enter_context(anthropic.Anthropic(base_url=host.root, **options))

        yield make


@pytest.fixture
def client(host, client_of):
    """An OpenAI client of `host`."""
    return client_of(host)


@pytest.fixture
def user():
    """A conversation of one message."""
    return lambda text: [{"role": "user", "content": text}]
