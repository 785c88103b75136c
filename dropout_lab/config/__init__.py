"""What a run is made of: every setting, the one check of all of them, and the YAML that they are written in.

settings     every setting: its default, its bounds and its meaning
resolve      a config: read, changed by overrides, checked, written again
check        the one check: what was given becomes a Config or a list of problems
rules        what a message says about a setting
ranges       0.1..0.5 and its kin
strict_yaml  the plain part of YAML 1.2, with line numbers
"""
