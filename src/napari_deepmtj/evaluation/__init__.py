"""evaluation room; see docs/develop/architecture.md."""
