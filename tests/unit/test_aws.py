"""boto3's clients of one process: made by several threads at once, and in a fork that is made meanwhile."""

import subprocess
import sys

FORKS = """
import os, threading
from clarity.storage.aws import s3_client

def make(number):
    at = f"http://127.0.0.1:{number}"
    made = s3_client(endpoint_url=at, region_name="x", aws_access_key_id="a", aws_secret_access_key="b")
    return made.meta.endpoint_url == at

def on_and_on():
    while not over.is_set():
        right.append(make(len(right) + 1))

over, right = threading.Event(), []
threads = [threading.Thread(target=on_and_on) for _ in range(4)]
for thread in threads:
    thread.start()
codes = []
for _ in range(20):
    child = os.fork()
    if child == 0:
        os._exit(0 if make(1) else 1)
    codes.append(os.waitpid(child, 0)[1])
over.set()
for thread in threads:
    thread.join()
print(set(codes), all(right), len(right) > 20)
"""


def test_threads_make_clients_at_once_and_a_fork_never_waits_for_one_of_them() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["{0}", "True", "True"], done.stderr
