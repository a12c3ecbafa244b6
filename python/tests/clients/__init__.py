"""pyro as other programs use it: MCP clients, coding agents, frameworks."""
