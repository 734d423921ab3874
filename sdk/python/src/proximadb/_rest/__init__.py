"""REST: routes, JSON bodies and problem documents."""
