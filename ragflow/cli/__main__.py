"""`python -m ragflow.cli`."""

import sys

from ragflow.cli.main import main

sys.exit(main())
