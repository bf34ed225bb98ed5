"""Run as a module: migrates the database of its environment, creates a merchant and prints its test key."""

import json

import django
from django.core.management import call_command

if __name__ == "__main__":
    django.setup()
    from merchants import services

    call_command("migrate", interactive=False, verbosity=0)
    merchant = services.create_merchant(name="Processes", email="processes@example.com")
    print(json.dumps({"key": merchant.test_key.key, "secret": merchant.test_key.secret}))
