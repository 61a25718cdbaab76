"""The whole topology on one machine."""
