"""Stop the local stack, servers included. Its data stays."""

from scripts.local import errors, leftovers
from scripts.local.config import Stack
from scripts.local.supervisor import Supervisor


def main() -> int:
    stack = Stack.from_environment()
    supervisor = Supervisor(stack)
    was_running = supervisor.is_running()
    if was_running:
        print("stopping …", flush=True)
        supervisor.shutdown()
    stray = leftovers.end(stack)
    stack.forget()
    print("stopped" if was_running or stray else "nothing was running")
    return 0


if __name__ == "__main__":
    errors.run(main)
