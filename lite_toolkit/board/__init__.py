"""The jobs that run in a process of their own, here or on a board, and what runs them; sent to boards."""
