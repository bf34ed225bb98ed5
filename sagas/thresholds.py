"""Thresholds that several places share. No imports, so that SQL checks can use them without the engine."""

# A saga is stuck when it has been due for so long and no worker has claimed it: workers and the sweep claim within
# seconds. The admin's list, the dashboard and the check `stuck_sagas` use it, and alerts.yml names the same number.
STUCK_AFTER_SECONDS = 60
