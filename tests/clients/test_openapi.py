"""schemathesis makes requests of every kind out of the description of the routes, good and bad ones,
and holds the answers against it.
"""

import json
import os
import random
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from mcp import types
from openapi_spec_validator import validate

import hosts

KEY = "the-key-of-this-test"
HERE = Path(__file__).parent


async def obliging(params):
    """A model that fits whatever is asked for: it calls the first tool, or says an empty object."""
    may_call = params.toolChoice is None or params.toolChoice.mode != "none"
    for tool in params.tools or () if may_call else ():
        use = types.ToolUseContent(type="tool_use", id="use_1", name=tool.name, input={})
        return types.CreateMessageResultWithTools(
            role="assistant", content=[use], model="scripted-model", stopReason="toolUse"
        )
    return "{}"


@pytest.fixture
def described(start):
    """A bridge that asks for a key, and its description."""
    env = {"MODELTAP_API_KEY": KEY, "MODELTAP_LOG": "off", "MODELTAP_TIMEOUT": "5s"}
    host = start(hosts.ConcurrentHost, model=obliging, tools=True, env=env)
    with urllib.request.urlopen(host.root + "/openapi.json", timeout=hosts.PATIENCE) as answer:
        return host, json.load(answer)


def test_it_is_an_openapi_document(described):
    validate(described[1])


@pytest.mark.timeout(600)
def test_what_is_answered_is_what_is_described(described, tmp_path):
    host, document = described
    # Here a key is set, so that there is no way in without one.
    document["security"].remove({})
    description = tmp_path / "openapi.json"
    description.write_text(json.dumps(document))
    seed = os.environ.get("MODELTAP_TEST_SEED") or str(random.randrange(2**32))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "schemathesis.toml"]
    command += ["run", description, "--url", host.root, "--seed", seed]
    env = os.environ | {"PYTHONPATH": str(HERE), "MODELTAP_API_KEY": KEY}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, f"repeat it with MODELTAP_TEST_SEED={seed}"
