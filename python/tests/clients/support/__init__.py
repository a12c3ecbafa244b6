"""What the tests of clients share: a stand-in for models, and the client's side of MCP."""
