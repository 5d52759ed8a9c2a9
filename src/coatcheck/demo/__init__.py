"""
A small shop with sessions, to look at and to read.

    coatcheck demo

It is an ordinary Starlette application with `SessionMiddleware`, as a user would write it. Only
`report`, which shows what a session is made of, looks behind the public face of a session.
"""
