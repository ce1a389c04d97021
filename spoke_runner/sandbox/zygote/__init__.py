"""Warm starts: spokes that are forked from a process that has imported everything already.

In the order of a start: `holder` (the hub's side) lets bubblewrap make the namespaces around a program that only waits;
`connection` asks the zygote for a fork; `birth` (the zygote's side) forks, enters the namespaces and leaves the process
at the very point at which a cold one begins, `inside.main`. `boot` is the zygote's program, `keeper` starts, renews and
ends zygotes.

Both sides live here, so this module imports neither: the zygote must not load the hub's side.
"""
