"""The hub: the only way from one spoke to another."""

import os

# grpc's fork handlers are for programs that go on using grpc in a fork. The hub only forks to exec.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
