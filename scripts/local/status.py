"""A table of the local stack's processes. Exit code 0 only when all of them are up and payments are taken."""

from scripts.local import errors, postgres, redis
from scripts.local.config import Address, Stack
from scripts.local.probe import is_ready
from scripts.local.start import PLATFORM
from scripts.local.supervisor import Supervisor

ROW = "{:<17} {:<12} {:>8} {:>7}"


def main() -> int:
    wanted = Stack.from_environment()
    supervisor = Supervisor(wanted)
    if not supervisor.is_running():
        print("The local stack is not running: start it with ./scripts/start-all-services.sh")
        return 1
    stack = Stack.saved(wanted)
    programs = supervisor.programs()
    print(ROW.format("SERVICE", "STATE", "PID", "PORT"))
    healthy = True
    for name, address, reason in (
        ("postgres", stack.database, postgres.why_unreachable(stack.database)),
        ("redis", stack.redis, redis.why_unreachable(stack.redis)),
    ):
        healthy &= reason is None
        print(_server_row(name, address, reason, programs[name].pid))
    ports = {"payment-gateway": stack.web.port, **stack.sandbox_ports}
    for name in (*stack.sandbox_ports, *PLATFORM):
        program = programs[name]
        healthy &= program.is_up
        port = ports.get(name, "")
        print(ROW.format(name, program.state.lower(), program.pid or "", port))
    ready = is_ready(stack)
    print(f"\n{stack.url}/readyz: {'ready' if ready else 'NOT READY'}")
    return 0 if healthy and ready else 1


def _server_row(name: str, address: Address, reason: str | None, pid: int) -> str:
    if reason:
        return ROW.format(name, "unreachable", pid or "", address.port) + f"  {reason}"
    if not address.embedded:
        return ROW.format(name, "external", "", address.port) + f"  at {address.host}"
    return ROW.format(name, "running", pid, address.port)


if __name__ == "__main__":
    errors.run(main)
