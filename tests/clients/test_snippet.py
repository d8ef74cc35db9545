"""`modeltap snippet`: what it prints runs, and what it writes into the files of hosts and clients is
what their languages' own parsers read, with all else in them as it was.
"""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import hosts

DATA = Path(__file__).resolve().parents[1] / "data" / "snippet"
CASES = json.loads((DATA / "cases.json").read_text())
# JSON with comments is judged by VS Code's own parser, in node/snippet.test.js.
READ = {"json": json.loads, "yaml": yaml.safe_load}
try:
    import tomllib

    READ["toml"] = tomllib.loads
except ImportError:  # before Python 3.11; the client that reads it judges it too (agents)
    pass


def run(home, *args, **env):
    """What `modeltap snippet` prints, in a home of its own."""
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "MODELTAP_TOKENS": "none"} | env
    done = subprocess.run(
        [hosts.binary(), "snippet", *args],
        env=env, cwd=home, capture_output=True, text=True, timeout=hosts.PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def at(value, path):
    for step in path:
        value = value[step]
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']} {case['fixture']}")
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_installed_file(case, ends, tmp_path):
    if case["format"] not in READ:
        return
    read = READ[case["format"]]
    text = (DATA / case["fixture"]).read_bytes().decode().replace("\r\n", "\n").replace("\n", ends)
    file = tmp_path / "file"
    file.write_bytes(text.encode())
    if case["entry"] == ["permissions", "allow"]:
        # The second of its files, which --file does not lead to.
        file = tmp_path / case["home"]
        file.parent.mkdir()
        file.write_bytes(text.encode())
        where = []
        env = {"CLAUDE_CONFIG_DIR": str(file.parent)}
    else:
        where, env = ["--file", str(file)], {}
    run(tmp_path, case["name"], "--install", "--yes", "--port", "9000", *where, **env)
    before, after = read(text), read(file.read_bytes().decode())
    entry = at(after, case["entry"])
    told = json.dumps(entry)
    assert any(word in told for word in (json.dumps(hosts.binary()), ":9000", "mcp__modeltap__")), told
    # Without what was put there all is as it was, the order of keys too.
    rest = copy.deepcopy(after)
    if case["name"] == "aider":
        for key in ("model", "openai-api-base", "openai-api-key"):
            del rest[key]
    elif case["name"] == "claude-code-client":
        del rest["env"]["ANTHROPIC_BASE_URL"], rest["env"]["ANTHROPIC_AUTH_TOKEN"]
    elif case["entry"] == ["permissions", "allow"]:
        rest["permissions"]["allow"] = [r for r in entry if not r.startswith("mcp__modeltap__")]
    else:
        holder = at(rest, case["entry"][:-1])
        del holder[case["entry"][-1]]
        if not holder:
            del rest[case["entry"][0]]
    assert json.dumps(rest, default=str) == json.dumps(before, default=str)
    run(tmp_path, case["name"], "--remove", "--yes", "--port", "9000", *where, **env)
    assert file.read_bytes().decode() == text


@pytest.mark.skipif(os.name == "nt", reason="there are no such terminals")
@pytest.mark.parametrize("answer, done", [("y", True), ("n", False), ("", False)])
def test_somebody_at_a_terminal_is_asked(tmp_path, answer, done):
    import pty

    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    ran = subprocess.run(
        [hosts.binary(), "snippet", "cursor", "--install"],
        env={"HOME": str(tmp_path)}, stdin=theirs, capture_output=True, text=True,
        timeout=hosts.PATIENCE,
    )
    os.close(ours)
    os.close(theirs)
    assert "+++ " in ran.stderr and "Install? [y/N] " in ran.stderr
    assert (ran.returncode == 0) == done
    assert (tmp_path / ".cursor/mcp.json").exists() == done


def snippet(host, tmp_path, name, key=None):
    """The snippet for the bridge of this host, in a file."""
    env = {"MODELTAP_API_KEY": key} if key else {}
    text = run(tmp_path, name, "--port", host.root.rsplit(":", 1)[1], **env)
    assert not key or key not in text
    file = tmp_path / name
    file.write_text(text)
    return file


@pytest.fixture(params=[None, "a-key-of-one's-own"], ids=["open", "with a key"])
def bridge(start, request):
    """A bridge, and the key that it asks for."""
    env = {"MODELTAP_API_KEY": request.param} if request.param else {}
    return start(hosts.ConcurrentHost, env=env), request.param


@pytest.mark.parametrize("name", ["openai-python", "anthropic-python", "langchain", "curl"])
def test_printed_code_runs(bridge, tmp_path, name):
    host, key = bridge
    file = snippet(host, tmp_path, name, key)
    command = [sys.executable, str(file)]
    if name == "curl":
        if not (shutil.which("curl") and shutil.which("sh")):
            assert os.environ.get("CI") != "true", "there is no curl"
            pytest.skip("there is no curl")
        command = ["sh", str(file)]
    env = os.environ | ({"MODELTAP_API_KEY": key} if key else {})
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "echo: Hello" in done.stdout


def test_litellm_takes_its_settings(bridge, tmp_path, monkeypatch):
    import litellm

    host, key = bridge
    if key:
        monkeypatch.setenv("MODELTAP_API_KEY", key)
    models = yaml.safe_load(snippet(host, tmp_path, "litellm", key).read_text())["model_list"]
    router = litellm.Router(model_list=models, num_retries=0)
    answer = router.completion("modeltap", messages=[{"role": "user", "content": "Hello"}])
    assert answer.choices[0].message.content == "echo: Hello"


def test_aider_s_settings_are_litellm_s(bridge, tmp_path):
    """aider hands them to litellm; it needs Python packages of other versions than these."""
    import litellm

    host, key = bridge
    said = yaml.safe_load(snippet(host, tmp_path, "aider", key).read_text())
    answer = litellm.completion(
        said["model"],
        messages=[{"role": "user", "content": "Hello"}],
        api_base=said["openai-api-base"],
        api_key=key or said["openai-api-key"],
    )
    assert answer.choices[0].message.content == "echo: Hello"
