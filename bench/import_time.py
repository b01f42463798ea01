"""How long `import cnmsim` takes, as a ratio to starting the bare interpreter."""

import subprocess
import sys
import time


def seconds(code):
    rounds = []
    for _ in range(15):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        rounds.append(time.perf_counter() - begin)
    return min(rounds)


def main():
    bare = seconds("pass")
    for name, code in (("import cnmsim", "import cnmsim"), ("import Lab", "from cnmsim import Lab")):
        took = seconds(code)
        print(f"{name}: {took / bare:.2f} times a bare interpreter ({took * 1e3:.0f} ms to {bare * 1e3:.0f} ms)")


if __name__ == "__main__":
    main()
