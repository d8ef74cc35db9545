"""HAProxy and nginx, started with the configurations that stand beside this file."""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from bridges import PATIENCE

HERE = Path(__file__).parent


class Balancer:
    """A balancer in front of bridges at these addresses."""

    def __init__(self, name, addresses):
        self.folder = Path(tempfile.mkdtemp(prefix=f"modeltap-{name}-"))
        self.log = self.folder / "log"
        file = {"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}[name]
        text = (HERE / file).read_text()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        places = {"127.0.0.1:8080": f"127.0.0.1:{self.port}"}
        places |= {f"127.0.0.1:{8787 + at}": address for at, address in enumerate(addresses)}
        for place, address in places.items():
            assert text.count(place) == 1, f"{place} does not stand once in {file}"
            text = text.replace(place, address)
        command = ["haproxy", "-db", "-f"]
        if name == "nginx":
            # Its files lie in system folders by default, and it goes to the background.
            kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            own = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in kinds)
            text = text.replace("http {\n", f"http {{\naccess_log off;\n{own}", 1)
            settings = f"daemon off; pid {self.folder}/pid;"
            command = ["nginx", "-p", self.folder, "-e", "stderr", "-g", settings, "-c"]
        (self.folder / file).write_text(text)
        self.folder.chmod(0o755)
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*command, self.folder / file], stdout=log, stderr=log)
        self.url = f"http://127.0.0.1:{self.port}"
        self.wait()

    def wait(self):
        """Until it listens."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < until, "the balancer does not listen"

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        shutil.rmtree(self.folder)
