"""No subject of its own: argument checks, memory, whole files, safe text. Nobody has to read it."""
