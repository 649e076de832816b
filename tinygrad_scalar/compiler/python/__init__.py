"""The engine that runs a program as Python source."""
