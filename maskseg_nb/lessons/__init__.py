"""Exercises that check themselves. Who wants to solve them reads no further."""
