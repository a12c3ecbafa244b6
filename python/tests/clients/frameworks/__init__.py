"""Frameworks that cannot be installed beside the current MCP client: they have a virtual environment of their own."""
