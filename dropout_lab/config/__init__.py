"""The config of a run: every setting, the one check of all settings, and the YAML that configs are written in.

settings     every setting: its default, its bounds and its meaning; add a setting here
resolve      the entrance for other rooms: read a config, apply overrides, check it, write it again
check        the one check: the values given become a Config or a list of problems
rules        the words of a problem: what a setting allows, and "did you mean"
ranges       lists and ranges such as 0.1..0.5
noted        the conditions of a run that another program trained, as far as the user noted them
shipped      the configs that come with the package, by their names
strict_yaml  the plain part of YAML 1.2, with line numbers
"""
