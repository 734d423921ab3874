"""Generated from proto/proximadb/v1 by scripts/generate.py."""
