"""The page: server-rendered, live by WebSocket, the same content as JSON for programs."""
