"""Hosts that are no more than network namespaces, behind links as slow as one
likes: veth pairs into a bridge in a namespace of its own, a token bucket at
both ends of each. Needs root, iproute2's ip and tc.

    with Network(3) as net:
        net.rate(80e6)                  bits a second, each way
        net.mpirun(3, ["weft", ...], timeout=60)

Whatever is left of the namespaces when a process ends, even by a signal, is
removed; what a killed one left, when the next begins.
"""
import os
import re
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SUBNET = "10.77.0"
PREFIX = "weft-link-"


class Unable(Exception):
    """Namespaces cannot be made here; says why."""


def run(*words, check=True):
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if check and done.returncode:
        raise Unable("%s: %s" % (" ".join(words), done.stderr.strip()))
    return done


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def sweep():
    """Remove namespaces of processes that are no more."""
    for line in run("ip", "netns", "list", check=False).stdout.splitlines():
        found = re.match(PREFIX + r"(\d+)-", line)
        if found and not alive(int(found.group(1))):
            run("ip", "netns", "del", line.split()[0], check=False)


class Network:
    def __init__(self, hosts):
        self.hosts = hosts
        self.name = "%s%d-" % (PREFIX, os.getpid())
        self.switch = self.name + "switch"
        self.made = []
        self.running = None

    # ---- up and down --------------------------------------------------------

    def __enter__(self):
        for tool in ("ip", "tc", "taskset", "mpirun"):
            if not shutil.which(tool):
                raise Unable("there is no " + tool)
        if os.geteuid():
            raise Unable("network namespaces need root")
        for sign in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, lambda *_: sys.exit(1))
        try:
            sweep()
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_):
        self.down()

    def add(self, name):
        run("ip", "netns", "add", name)
        self.made.append(name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    def up(self):
        self.add(self.switch)
        run("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.switch, "link", "set", "br0", "up")
        for i in range(1, self.hosts + 1):
            host = self.name + str(i)
            self.add(host)
            run("ip", "-n", host, "link", "add", "eth0", "type", "veth",
                "peer", "name", "port%d" % i, "netns", self.switch)
            run("ip", "-n", host, "addr", "add",
                "%s.%d/24" % (SUBNET, i), "dev", "eth0")
            run("ip", "-n", host, "link", "set", "eth0", "up")
            run("ip", "-n", self.switch, "link", "set", "port%d" % i,
                "master", "br0", "up")

    def down(self):
        self.stop()
        while self.made:
            run("ip", "netns", "del", self.made.pop(), check=False)

    # ---- what the links let through -----------------------------------------

    def ends(self):
        for i in range(1, self.hosts + 1):
            yield self.name + str(i), "eth0"
            yield self.switch, "port%d" % i

    def rate(self, bits):
        """Bits a second, each way of each host; None: as fast as it goes. The
        bucket holds two full offloaded packets, for one that it cannot hold is
        cut up, which takes processors more than sending it; or a 250th of a
        second."""
        for space, device in self.ends():
            run("tc", "-n", space, "qdisc", "del", "dev", device, "root",
                check=False)
            if bits:
                run("tc", "-n", space, "qdisc", "add", "dev", device, "root",
                    "tbf", "rate", "%dbit" % bits, "burst",
                    str(max(140000, int(bits / 8 / 250))), "latency", "200ms")

    # ---- programs -----------------------------------------------------------

    def mpirun(self, ranks, command, timeout, options=()):
        """`ranks` ranks, dealt round the hosts; returns what they said. A run
        that takes longer than `timeout` seconds is ended."""
        hosts = ["%s.%d:%d" % (SUBNET, i + 1,
                               (ranks - i + self.hosts - 1) // self.hosts)
                 for i in range(min(ranks, self.hosts))]
        words = ["mpirun", "--mca", "plm_rsh_agent",
                 os.path.join(HERE, "agent"), "--mca", "btl", "tcp,self",
                 "--mca", "pml", "ob1", "--bind-to", "none", "--oversubscribe",
                 *options]
        for layer in ("btl", "oob"):
            words += ["--mca", layer + "_tcp_if_include", SUBNET + ".0/24"]
        words += ["--host", ",".join(hosts), "-n", str(ranks), *command]
        env = dict(os.environ, WEFT_LINK=self.name,
                   OMPI_ALLOW_RUN_AS_ROOT="1",
                   OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                   OMPI_MCA_btl_tcp_disable_family="IPv6")
        self.running = subprocess.Popen(
            ["ip", "netns", "exec", self.name + "1", "taskset", "-c", "0",
             *words], env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True)
        try:
            out, err = self.running.communicate(timeout=timeout)
            code = self.running.returncode
        except subprocess.TimeoutExpired:
            self.stop()
            raise SystemExit("mpirun took longer than %g s" % timeout)
        self.running = None
        return code, out, err

    def stop(self):
        """mpirun's own session, and what it started in the namespaces."""
        if self.running is None:
            return
        try:
            os.killpg(self.running.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.running.communicate()
        for i in range(1, self.hosts + 1):
            left = run("ip", "netns", "pids", self.name + str(i), check=False)
            for pid in left.stdout.split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.running = None
