"""The rhythm in which a storage in files removes expired records by itself."""

SWEEP_EVERY = 64
"""New sessions between two sweeps of a storage in files."""

SWEPT_AT_ONCE = 100
"""Records that such a sweep looks at, which is more than the sessions since the last one."""
