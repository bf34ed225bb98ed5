"""The local stack: PostgreSQL and Redis from Python wheels, and the platform's processes around them.

Nothing here is used in production. The shell scripts one directory up are the entry points; these modules do
the work, so that it is readable, typed and testable:

    config      where things live and which ports are wanted, from the environment
    venv        the virtual environment (the only module that runs before the packages are installed)
    account     the unprivileged account the servers run as when started by root
    wheels      where the server binaries are
    postgres    one PostgreSQL cluster: create, run, wait
    redis       one Redis server: run, wait
    supervisor  talks to supervisord, which keeps every process
    start, status, stop     what the scripts of these names run
    testing     throw-away PostgreSQL and Redis around one command:

        ./scripts/with-test-servers.sh pytest tests/sagas -k fence
        ./scripts/with-test-servers.sh python manage.py shell

    Each such command gets its own servers on free ports (DB_HOST, DB_PORT, REDIS_HOST, REDIS_PORT … are
    set for it); they are gone when it ends.
"""
