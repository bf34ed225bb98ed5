"""The lab: the platform on many hosts of one machine, with the engines that operators use (docs/HIGH-AVAILABILITY.md).

A host is a network namespace. Nothing here is used in production, and the platform's processes get only the settings
that every operator has. `./scripts/lab.sh` is the entry point:

    plan          the hosts: names, zones, addresses
    network       namespaces, bridges, cables; cutting and healing them
    slow_link     a cable that delays every frame
    engines       the configuration of etcd, Patroni, HAProxy, PgBouncer, Redis with Sentinel, RabbitMQ
    settings      the secrets of the lab, and the settings of the platform
    processes     which commands run on which host, with which environment
    supervisor    the supervisord that runs them
    database      asks Patroni who is primary, prepares the roles and the schema
    lifecycle     up and down
    faults        what can be done to the lab
    client        a signed client that repeats a write under the same key until it has an answer
    load          many such clients, and the journal of what was confirmed to them
    checking      nothing lost, nothing doubled, the books agree
    losing_side   a writer on the side that must not accept writes
    migrating     a migration that a failover interrupts
    next_release  makes a next release: this one with expand migrations and code that uses them
    upgrading     two releases side by side, and the way back
    scenarios     faults under load, each ended by the checks
    running       one scenario from the load to the stored result
    figures       computes its figures from the journal
    report        the figures of all scenarios
"""
