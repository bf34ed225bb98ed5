from scripts.local import errors
from scripts.restore_drill.drill import main

errors.run(main)
