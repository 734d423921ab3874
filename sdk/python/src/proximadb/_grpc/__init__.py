"""gRPC: messages, typed filters and status details."""
