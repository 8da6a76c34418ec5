"""Rules: what types cannot say. One file per noun; each function gives the problems of one part, at its path."""
