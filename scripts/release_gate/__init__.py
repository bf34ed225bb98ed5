"""Everything that must hold before a release, with one command: ./scripts/release-gate.sh (docs/SECURITY.md)."""
