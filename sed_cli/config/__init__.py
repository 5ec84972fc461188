"""The typed configuration: settings, their classes by config group, components and plugins.

Every YAML file in ``conf/`` fills one of these classes, so a wrong type or an unknown key is found
before any work starts; ranges and what settings mean to each other are said by their ``faults``.

Keys equal argument names. Lengths are in samples or frames where the name says nothing, in seconds
with the suffix ``_s``, in hertz for rates and frequencies, in decibels with ``_db``.
"""
