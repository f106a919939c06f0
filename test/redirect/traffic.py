"""Real traffic under real rules: traffic.py CALLS, in a network and mount namespace of its own, as root.

CALLS is JSON: {"apply": [WORD...], "cleanup": [WORD...], "isTproxy": BOOL}. It makes a pod (this namespace: 10.3.3.3,
2001:db8:3::3) and a peer beyond a veth pair (10.3.3.1, 10.0.0.1, 10.96.0.10, 2001:db8:3::1), applies the rules, calls, applies
again, cleans up, and prints JSON with all that was seen.
"""
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

POD4, POD6 = "10.3.3.3", "2001:db8:3::3"
SO_ORIGINAL_DST = 80
IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75
APP, PROXY = 1000, 1337
LIMIT_S = 5


def sh(*words, check=True):
    return subprocess.run(words, check=check, capture_output=True, text=True).stdout


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def serve(host, port, answer, kind=socket.SOCK_STREAM, transparent=False):
    """Answers each caller with a word."""
    family = family_of(host)
    listener = socket.socket(family, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if transparent:
        level, option = (socket.IPPROTO_IPV6, IPV6_TRANSPARENT) if family == socket.AF_INET6 else (socket.SOL_IP, IP_TRANSPARENT)
        listener.setsockopt(level, option, 1)
    listener.bind((host, port))
    if kind == socket.SOCK_STREAM:
        listener.listen(16)

    def loop():
        while True:
            if kind == socket.SOCK_DGRAM:
                _, caller = listener.recvfrom(512)
                listener.sendto(answer(None).encode(), caller)
                continue
            connection, _ = listener.accept()
            with connection:
                connection.sendall(answer(connection).encode())

    threading.Thread(target=loop, daemon=True).start()


def serve_as(uid, *args):
    """The same by another user, whose packets have their own rules."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setgid(uid)
        os.setuid(uid)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            serve(*args, lambda _: "agent", kind)
        os.close(writer)
        os.close(LIFE[1])
        os.read(LIFE[0], 1)  # until the pod ends
        os._exit(0)
    os.close(writer)
    os.read(reader, 1)


LIFE = os.pipe()


def original(connection):
    """Where the caller meant to go: what Envoy asks the kernel."""
    if connection.family == socket.AF_INET6:
        raw = connection.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
        return f"[{socket.inet_ntop(socket.AF_INET6, raw[8:24])}]:{struct.unpack('!H', raw[2:4])[0]}"
    raw = connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    return f"{socket.inet_ntoa(raw[4:8])}:{struct.unpack('!H', raw[2:4])[0]}"


def transparent(connection):
    """With TPROXY the socket has the address that was called, and the caller's own."""
    return f"{connection.getsockname()[0]}:{connection.getsockname()[1]} from {connection.getpeername()[0]}"


def call(host, port, kind=socket.SOCK_STREAM):
    with socket.socket(family_of(host), kind) as caller:
        caller.settimeout(LIMIT_S)
        try:
            caller.connect((host, port))
            if kind == socket.SOCK_DGRAM:
                caller.send(b"?")
            return caller.recv(200).decode()
        except OSError as error:
            return f"failed: {error.strerror or error}"


def call_as(uid, *args):
    """The same as another user, in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        os.write(writer, call(*args).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        return answer.read()


def peer():
    """The other end of the veth pair: answers as what it is, and calls where it is asked to."""
    print("there", flush=True)
    sys.stdin.readline()
    for words in (
        "ip link set lo up",
        "ip link set peer up",
        "ip address add 10.3.3.1/24 dev peer",
        "ip address add 2001:db8:3::1/64 dev peer nodad",
        "ip address add 10.0.0.1/32 dev lo",
        "ip address add 10.96.0.10/32 dev lo",
    ):
        sh(*words.split())
    for host, port in (("10.0.0.1", 80), ("10.0.0.1", 8443), ("2001:db8:3::1", 80), ("10.96.0.10", 53)):
        serve(host, port, lambda _: "peer")
    serve("10.96.0.10", 53, lambda _: "peer", socket.SOCK_DGRAM)
    print("ready", flush=True)
    for line in sys.stdin:
        host, port = line.split()
        print(call(host, int(port)), flush=True)


def pod(calls):
    other = subprocess.Popen(
        ["unshare", "--net", sys.executable, __file__, "peer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    other.stdout.readline()
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer", "netns", str(other.pid))
    sh("ip", "link", "set", "eth0", "up")
    sh("ip", "address", "add", f"{POD4}/24", "dev", "eth0")
    sh("ip", "address", "add", f"{POD6}/64", "dev", "eth0", "nodad")
    sh("ip", "route", "add", "default", "via", "10.3.3.1")
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("nameserver 10.96.0.10\n")
        file.flush()
        sh("mount", "--bind", file.name, "/etc/resolv.conf")
    print("go", file=other.stdin, flush=True)
    other.stdout.readline()

    def from_peer(host, port):
        print(host, port, file=other.stdin, flush=True)
        return other.stdout.readline().strip()

    is_tproxy = calls["isTproxy"]
    for any_address, kind in (("0.0.0.0", "IPv4"), ("::", "IPv6")):
        serve(any_address, 15001, lambda connection: f"15001 for {original(connection)}")
        inbound = (lambda connection: f"15006 at {transparent(connection)}") if is_tproxy else (
            lambda connection: f"15006 for {original(connection)}"
        )
        serve(any_address, 15006, inbound, transparent=is_tproxy)
        for port in (8080, 15090):
            serve(any_address, port, lambda _: "application")
    serve_as(PROXY, "127.0.0.1", 15053)

    def run(words):
        ran = subprocess.run(words, capture_output=True, text=True)
        return {"code": ran.returncode, "stdout": ran.stdout, "stderr": ran.stderr}

    def until_there(look):
        until = time.monotonic() + LIMIT_S
        while look().startswith("failed") and time.monotonic() < until:
            time.sleep(0.05)

    until_there(lambda: from_peer(POD6, 8080))
    seen = {"before": state()}
    seen["applied"] = run(calls["apply"])
    seen["rules"] = state()
    seen["traffic"] = {
        "application calls 10.0.0.1:80": call_as(APP, "10.0.0.1", 80),
        "application calls [2001:db8:3::1]:80": call_as(APP, "2001:db8:3::1", 80),
        "application calls an excluded port": call_as(APP, "10.0.0.1", 8443),
        "application calls localhost": call_as(APP, "127.0.0.1", 8080),
        "application calls its own address": call_as(APP, POD4, 8080),
        "proxy calls 10.0.0.1:80": call_as(PROXY, "10.0.0.1", 80),
        "proxy calls the application's address": call_as(PROXY, POD4, 8080),
        "peer calls IPv4": from_peer(POD4, 8080),
        "peer calls IPv6": from_peer(POD6, 8080),
        "peer calls an excluded port": from_peer(POD4, 15090),
        "application asks DNS by UDP": call_as(APP, "10.96.0.10", 53, socket.SOCK_DGRAM),
        "application asks DNS by TCP": call_as(APP, "10.96.0.10", 53),
        "proxy asks DNS by UDP": call_as(PROXY, "10.96.0.10", 53, socket.SOCK_DGRAM),
    }
    seen["again"] = run(calls["apply"])
    seen["rulesAgain"] = state()
    seen["cleaned"] = run(calls["cleanup"])
    seen["after"] = state()
    seen["trafficAfter"] = {
        "application calls 10.0.0.1:80": call_as(APP, "10.0.0.1", 80),
        "peer calls IPv4": from_peer(POD4, 8080),
    }
    other.kill()
    print(json.dumps(seen))


# Of iptables-save: a table that somebody only looked at. Of nft: the same.
EMPTY = re.compile(r"^\*\w+\n(?::[A-Z]+ ACCEPT\n)*COMMIT\n", re.M)


def state():
    """Rules without their counters, routes and addresses."""
    saved = "".join(sh(name) for name in ("iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save"))
    saved = re.sub(r"^#.*\n", "", re.sub(r" \[\d+:\d+\]", "", saved), flags=re.M)
    routes = [sh("ip", version, what, check=False) for version in ("-4", "-6") for what in ("rule", "address")]
    local = [sh("ip", version, "route", "show", "table", "all", "type", "local", "default", check=False) for version in ("-4", "-6")]
    inet = sh("nft", "--stateless", "list", "ruleset", "inet")
    return {"iptables": EMPTY.sub("", saved), "nft": inet, "routes": re.sub(r" tentative", "", "".join(routes + local))}


if __name__ == "__main__":
    if sys.argv[1] == "peer":
        peer()
    else:
        pod(json.loads(sys.argv[1]))
