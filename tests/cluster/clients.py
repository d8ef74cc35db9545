"""Clients of a balancer: each asks again and again, whole and streamed, and looks at what comes."""

import http.client
import itertools
import json
import random
import threading
import time

from bridges import FIRST, LAST, PATIENCE

CHAT = "/v1/chat/completions"
NUMBERS = itertools.count(1)


class Clients:
    """So many clients, at work until they are told to stop."""

    def __init__(self, count, port, key, asked, seed):
        self.port, self.key, self.asked = port, key, asked
        self.lock = threading.Lock()
        self.good = []  # numbers of requests that were answered as they should be
        self.failed = {}  # what became of others
        self.stopping = threading.Event()
        self.threads = [
            threading.Thread(target=self.work, args=(random.Random(seed + at),), daemon=True)
            for at in range(count)
        ]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        until = time.monotonic() + 2 * PATIENCE
        for thread in self.threads:
            thread.join(max(0, until - time.monotonic()))
            assert not thread.is_alive(), "a client waits for ever"

    def work(self, dice):
        connection = None
        while not self.stopping.is_set():
            connection = connection or http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=2 * PATIENCE
            )
            number, is_stream = next(NUMBERS), dice.random() < 0.5
            # Some are larger than one packet.
            text = f"request {number}." + " more" * dice.choice((0, 0, 0, 4000))
            self.asked.sends(number)
            try:
                self.ask(connection, number, text, is_stream)
                fault = None
            except (OSError, http.client.HTTPException, AssertionError, ValueError) as error:
                fault = f"{type(error).__name__}: {error}"
                connection.close()
                connection = None
            self.asked.ends(number)
            with self.lock:
                if fault is None:
                    self.good.append(number)
                else:
                    self.failed[number] = fault
        if connection:
            connection.close()

    def ask(self, connection, number, text, is_stream):
        body = {"model": "m", "stream": is_stream, "messages": [{"role": "user", "content": text}]}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        connection.request("POST", CHAT, json.dumps(body), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise AssertionError(f"{answer.status} {answer.read().decode()}")
        if not is_stream:
            said = json.loads(answer.read())["choices"][0]["message"]["content"]
            assert said == f"answer {number}", said
            return
        said, is_done = "", False
        # As far as it has come, and not to its end.
        while line := answer.readline():
            data = line.decode().removeprefix("data: ").strip()
            if not line.startswith(b"data: "):
                continue
            if data == "[DONE]":
                is_done = True
                continue
            event = json.loads(data)
            assert "error" not in event, data
            for choice in event["choices"]:
                said += choice["delta"].get("content") or ""
            if said == FIRST:
                self.asked.seen[number].set()
        assert is_done and said == f"{FIRST}{LAST} {number}", f"cut off: {said!r}"
