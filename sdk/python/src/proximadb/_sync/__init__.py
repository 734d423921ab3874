# Generated from ../_async/__init__.py by scripts/generate.py; edit that file.
"""The async client and the connections that it speaks over; the sync twin is generated from these files."""
