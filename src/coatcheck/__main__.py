"""`python -m coatcheck` is the command `coatcheck`."""

from coatcheck.cli import main

raise SystemExit(main())
