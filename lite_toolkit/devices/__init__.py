"""Where jobs run: profiles, child processes here, boards over ssh."""
