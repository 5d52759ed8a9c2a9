"""
What a session layer costs a request: ours, its peers, and the least it can cost.

    make bench                                                everything: about 20 minutes
    make bench ARGS=--quick                                   everything, roughly: about 2
    .venv-bench/bin/python -m benchmarks --only cookie,memory --rounds 5

Nothing here is a test, and no test is timed.
"""
