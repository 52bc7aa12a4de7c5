"""Reads a stream with Python's standard library, comes back after every cut, and prints `open` and each message's id."""
import sys
import time
import urllib.request

url, cursor, retry = sys.argv[1], None, 1.0
while True:
    try:
        headers = {"Last-Event-ID": cursor} if cursor else {}
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as stream:
            block = {}
            for line in stream:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    block[name] = value
                    continue
                retry = float(block["retry"]) / 1000 if "retry" in block else retry
                cursor = block.get("id", cursor)
                if "data" in block:
                    print({"edgewire.open": "open"}.get(block.get("event"), cursor), flush=True)
                block = {}
    except OSError:
        pass
    time.sleep(retry)
