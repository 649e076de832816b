"""`python -m benchmarks` runs every benchmark, each in an interpreter of its own."""

import subprocess
import sys
from pathlib import Path

# gradbench.py is run by GradBench
OTHERS = {"__main__.py", "harness.py", "gradbench.py", "programs.py", "networks.py"}


def main():
    scripts = sorted(Path(__file__).parent.glob("*.py"))
    for script in scripts:
        if script.name not in OTHERS:
            print(f"\n# {script.stem}", flush=True)
            subprocess.run([sys.executable, str(script)], check=True)


if __name__ == "__main__":
    main()
