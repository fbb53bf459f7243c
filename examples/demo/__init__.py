"""`make demo`: the whole pipeline on this machine, told as a story.

Comes in: nothing. Goes out: a running pipeline, and the proof of each step; 0 when all came true, else 1.
"""
