"""Three bridges behind a balancer under load: one goes, one is killed, one comes back, one comes back without
a model, and a token is revoked for all. Nothing fails that the killed one had not begun.
"""

import os
import re
import random
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from collections import Counter
from pathlib import Path

from balancers import Balancer
from bridges import PATIENCE, Asked, Bridge, get
from clients import CHAT, Clients

CLIENTS = 64
# Seconds under load, of each balancer.
TIME = float(os.environ.get("MODELTAP_CLUSTER_TIME", "60"))
# How long a model takes; that of the first bridge takes longer.
DELAY, SLOW = 0.2, 0.6
# Of MODELTAP_DRAIN, in seconds: half of it is more than the checks of haproxy.cfg need.
DRAIN = 8
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.M)


def until(said, fits):
    """Waits for what nothing tells of."""
    deadline = time.monotonic() + PATIENCE
    while not (found := fits()):
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
    return found


def total(text, name, *labels):
    """The sum of a metric's samples that have these labels."""
    found = (m for m in SAMPLE.findall(text) if m[0] == name)
    return sum(float(value) for _, own, value in found if all(label in own for label in labels))


class Cluster(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="modeltap-cluster-")
        self.addCleanup(folder.cleanup)
        self.tokens = str(Path(folder.name) / "tokens.json")
        self.key = self.token("add", "clients")
        self.leaver = self.token("add", "leaver")
        self.watcher = self.token("add", "prometheus", "--routes", "metrics")
        self.asked = Asked()
        self.hosts = [self.bridge("a", SLOW), self.bridge("b", DELAY), self.bridge("c", DELAY)]

    def token(self, *words):
        command = [os.environ["MODELTAP_BIN"], "token", *words, "--tokens", self.tokens]
        done = subprocess.run(command, env={}, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def bridge(self, name, delay, port=0):
        env = {
            "MODELTAP_TOKENS": self.tokens,
            "MODELTAP_DRAIN": f"{DRAIN}s",
            "MODELTAP_TRUST_PROXY": "127.0.0.1",
        }
        bridge = Bridge(name, self.asked, delay, env, port)
        self.addCleanup(bridge.stop)
        return bridge

    def spends(self, share):
        """A part of the time of the test."""
        self.clients.stopping.wait(TIME * share)

    def under(self, name):
        seed = int(os.environ.get("MODELTAP_TEST_SEED") or random.randrange(2**32))
        print(f"MODELTAP_TEST_SEED={seed}", flush=True)
        self.balancer = Balancer(name, [bridge.address for bridge in self.hosts])
        self.addCleanup(self.balancer.stop)
        until("a bridge behind it", lambda: self.models(self.leaver) == 200)
        self.clients = Clients(CLIENTS, self.balancer.port, self.key, self.asked, seed)
        self.addCleanup(self.clients.stopping.set)
        a, b, c = self.hosts
        self.spends(0.3)
        self.goes_to_the_one_with_the_fewest()
        self.is_revoked_everywhere()
        self.drains(b)
        # Longer than nginx leaves out what has failed: it tries an address where nobody listens.
        self.clients.stopping.wait(3)
        b = self.hosts[1] = self.bridge("b2", DELAY, b.port)
        self.spends(0.2)
        self.assertTrue(self.asked_of("b2"), "a bridge that comes back gets nothing")
        self.dies(c)
        # At once, so that it is still taken for good: first nobody listens, then there is no model.
        self.hosts[2] = self.bridge("c2", None, c.port)
        self.spends(0.5)
        self.clients.stop()
        self.accounts(c)
        self.is_summed()

    def models(self, key):
        return get(f"{self.balancer.url}/v1/models", key)[0]

    def asked_of(self, name):
        with self.asked.lock:
            return [number for number, names in self.asked.by.items() if name in names]

    def goes_to_the_one_with_the_fewest(self):
        counts = Counter({name: len(self.asked_of(name)) for name in "abc"})
        # In turn, each would get a third; by the fewest connections, the slow one gets a seventh.
        print("requests until here:", dict(counts), flush=True)
        self.assertLess(counts["a"] / counts.total(), 0.25)
        self.assertGreater(counts["a"], 0)

    def is_revoked_everywhere(self):
        self.token("revoke", "leaver")
        since = time.monotonic()
        for bridge in self.hosts:
            said = f"{bridge.name} takes a revoked token"
            until(said, lambda bridge=bridge: bridge.get("/v1/models", self.leaver)[0] == 401)
        print(f"revoked everywhere after {time.monotonic() - since:.1f} s", flush=True)
        self.assertEqual(self.models(self.leaver), 401)

    def drains(self, bridge):
        bridge.process.send_signal(signal.SIGTERM)
        said = until("it does not go", lambda: self.going(bridge))
        self.assertIn('"draining"', said)
        since = time.monotonic()
        self.assertEqual(bridge.ends(), 0)
        self.assertLess(time.monotonic() - since, DRAIN, "it was busy to its end")

    def going(self, bridge):
        status, text = bridge.get("/ready")
        return status == 503 and text

    def dies(self, bridge):
        def dead():
            bridge.process.kill()
            # Until then its sockets are open.
            bridge.process.wait()

        self.asked.when_all_are_begun(dead)

    def accounts(self, killed):
        """Each request was asked of one host, and answered, but for those that the killed one had."""
        good, failed = self.clients.good, self.clients.failed
        print(f"{len(good)} good, {len(failed)} lost with the killed one", flush=True)
        lost = set(self.asked_of(killed.name)) - set(good)
        strangers = {number: said for number, said in failed.items() if number not in lost}
        self.assertFalse(strangers, "failed, and were not begun on the killed one")
        self.assertTrue(lost, "the killed one had nothing")
        twice = {number: names for number, names in self.asked.by.items() if len(names) > 1}
        self.assertFalse(twice, "asked of more than one host")
        self.assertFalse([bridge.gathered for bridge in self.hosts if bridge.gathered])
        # All are needed for the times to be worth something.
        self.assertGreater(len(good), 5 * CLIENTS)

    def scrapes(self):
        texts = []
        for bridge in self.hosts:
            status, text = bridge.get("/metrics", self.watcher)
            self.assertEqual(status, 200)
            done = subprocess.run(
                ["promtool", "check", "metrics"], input=text, capture_output=True, text=True
            )
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
            texts.append(text)
        return texts

    def is_summed(self):
        """What the bridges count together is what the clients got; what each has, is its own."""

        def answered():
            labels = (f'route="{CHAT}"', 'status="200"')
            return [total(text, "modeltap_requests_total", *labels) for text in self.scrapes()]

        before = answered()
        seen = len(self.clients.good)
        clients = Clients(6, self.balancer.port, self.key, self.asked, 1)
        until("answers", lambda: len(clients.good) >= 60)
        clients.stop()
        self.assertFalse(clients.failed)
        new = sum(answered()) - sum(before)
        self.assertEqual(new, len(clients.good), f"{seen} were answered before")
        ready = [total(text, "modeltap_ready") for text in self.scrapes()]
        self.assertEqual(ready, [1, 1, 0])

    def test_haproxy(self):
        self.under("haproxy")

    def test_nginx(self):
        self.under("nginx")


if __name__ == "__main__":
    threading.stack_size(256 * 1024)
    unittest.main()
