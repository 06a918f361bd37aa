"""widgets room; see docs/architecture.md."""
