"""Bridges, each with a scripted MCP host at its pipes that listens to channel events, as Claude Code does."""

import heapq
import itertools
import json
import os
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request

# The longest wait for what should come at once.
PATIENCE = 20
# What a client asks, and by which its host knows it.
NUMBER = re.compile(r"request (\d+)\.")
EVENT = "notifications/claude/channel"
FIRST, LAST = "the first piece, ", "and the last"


class Asked:
    """What the hosts have been asked, and what clients have seen of it."""

    def __init__(self):
        self.lock = threading.Condition()
        self.by = {}  # the names of the bridges whose hosts were asked, by the request's number
        self.seen = {}  # events: the client has seen the first piece
        self.under_way = set()  # sent by a client, and not answered
        self.is_open = True

    def sends(self, number):
        """A client is about to send; held back while the gate is closed."""
        with self.lock:
            self.lock.wait_for(lambda: self.is_open, PATIENCE)
            self.seen[number] = threading.Event()
            self.under_way.add(number)

    def ends(self, number):
        with self.lock:
            self.under_way.discard(number)
            self.lock.notify_all()

    def begins(self, number, name):
        with self.lock:
            self.by.setdefault(number, []).append(name)
            self.lock.notify_all()

    def when_all_are_begun(self, deed):
        """Does it while each request that was sent is with a host: what of it is lost then, was begun."""
        with self.lock:
            self.is_open = False
            are_begun = self.lock.wait_for(lambda: self.under_way <= self.by.keys(), PATIENCE)
            deed()
            self.is_open = True
            self.lock.notify_all()
        assert are_begun, "requests were sent that no host was asked"


class Bridge:
    """A running bridge. `delay` is how long its model takes; without one it has no model."""

    def __init__(self, name, asked, delay, env, port=0):
        self.name, self.asked, self.delay = name, asked, delay
        self.gathered = []  # streams whose first piece came only once the host gave up waiting for it
        # Nothing of the machine's settings.
        env = {"MODELTAP_PORT": str(port), "MODELTAP_LOG": "off", **env}
        self.process = subprocess.Popen(
            [os.environ["MODELTAP_BIN"]], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.write_lock = threading.Lock()
        self.results = {}
        self.came = threading.Condition()
        self.ids = itertools.count(1)
        self.deeds, self.has_deed = [], threading.Condition()
        for work in (self.read, self.act):
            threading.Thread(target=work, daemon=True).start()
        client = {"name": "claude-code" if delay is not None else "mute", "version": "1"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
        self.request("initialize", params)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        status = self.request("tools/call", {"name": "http_server_status", "arguments": {}})
        self.url = status["structuredContent"]["listen_url"]
        self.address = self.url.removeprefix("http://")
        self.port = int(self.address.rsplit(":", 1)[1])

    def send(self, message):
        line = json.dumps(message).encode() + b"\n"
        try:
            with self.write_lock:
                self.process.stdin.write(line)
                self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # It has gone, which is for whoever waits for it to notice.

    def request(self, method, params):
        number = next(self.ids)
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        with self.came:
            assert self.came.wait_for(lambda: number in self.results, PATIENCE), method
            return self.results.pop(number)

    def read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            if message.get("method") == EVENT:
                self.is_asked(message["params"])
            elif isinstance(message.get("id"), int):
                with self.came:
                    self.results[message["id"]] = message.get("result")
                    self.came.notify_all()

    def is_asked(self, params):
        number = int(NUMBER.search(params["content"])[1])
        self.asked.begins(number, self.name)
        request, is_stream = params["meta"]["request_id"], params["meta"].get("stream") == "true"
        if is_stream:
            self.later(self.delay / 2, lambda: self.gives_first(request, number))
        else:
            arguments = {"request_id": request, "content": f"answer {number}"}
            self.later(self.delay, lambda: self.reply("channel_reply", arguments))

    def gives_first(self, request, number):
        piece = {"request_id": request, "delta": FIRST, "done": False}
        self.reply("channel_reply_stream", piece)
        until = time.monotonic() + PATIENCE
        self.later(self.delay / 2, lambda: self.gives_last(request, number, until))

    def gives_last(self, request, number, until):
        """Not before the client has seen the first piece: nothing on the way may gather them."""
        if not self.asked.seen[number].is_set():
            if time.monotonic() < until:
                return self.later(0.01, lambda: self.gives_last(request, number, until))
            self.gathered.append(number)
        piece = {"request_id": request, "delta": f"{LAST} {number}", "done": True}
        self.reply("channel_reply_stream", piece)

    def reply(self, tool, arguments):
        params = {"name": tool, "arguments": arguments}
        number = f"reply-{next(self.ids)}"
        self.send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})

    def later(self, delay, deed):
        with self.has_deed:
            heapq.heappush(self.deeds, (time.monotonic() + delay, next(self.ids), deed))
            self.has_deed.notify()

    def act(self):
        while True:
            with self.has_deed:
                now = time.monotonic()
                if not self.deeds or self.deeds[0][0] > now:
                    self.has_deed.wait(self.deeds[0][0] - now if self.deeds else None)
                    continue
                _, _, deed = heapq.heappop(self.deeds)
            deed()

    def get(self, path, key=None):
        """Status and text of a GET to this bridge itself."""
        return get(self.url + path, key)

    def ends(self):
        """Its exit status, once it has ended."""
        return self.process.wait(PATIENCE)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except (BrokenPipeError, ValueError):
                pass


# Nothing of this goes through a proxy of the machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with OPENER.open(urllib.request.Request(url, headers=headers), timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
