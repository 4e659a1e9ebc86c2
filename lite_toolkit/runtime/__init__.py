"""LiteRT: interpreters, delegates, who runs which node, child processes; sent to boards."""
