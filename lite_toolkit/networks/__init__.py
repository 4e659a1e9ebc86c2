"""The family's networks: tables, costs, published figures, and the builder."""
