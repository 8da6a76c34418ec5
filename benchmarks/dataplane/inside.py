"""Runs commands where it is, one after the other: so that what it takes to get there is paid once and not measured.

A program of its own without imports but the standard library, as it runs inside the client's namespace. Reads commands
as JSON lists, one a line; answers each with a line of JSON: exit code and output.
"""

import json
import subprocess
import sys

LIMIT = 120.0


def main() -> None:
    for line in sys.stdin:
        try:
            done = subprocess.run(json.loads(line), capture_output=True, text=True, timeout=LIMIT, check=False)
            answer = [done.returncode, done.stdout + done.stderr]
        except (OSError, subprocess.TimeoutExpired) as error:
            answer = [1, str(error)]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
