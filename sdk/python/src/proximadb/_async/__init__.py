"""The async client and the connections that it speaks over; the sync twin is generated from these files."""
