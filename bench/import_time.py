"""How much work `import cnmsim` is, as a ratio to starting the bare interpreter."""

import resource
import subprocess
import sys


def used():
    """Return the seconds of work that child processes have done."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def seconds(code):
    rounds = []
    for _ in range(15):
        begin = used()
        subprocess.run([sys.executable, "-c", code], check=True)
        rounds.append(used() - begin)
    return min(rounds)


def main():
    bare = seconds("pass")
    for name, code in (("import cnmsim", "import cnmsim"), ("import Lab", "from cnmsim import Lab")):
        took = seconds(code)
        print(f"{name}: {took / bare:.2f} times a bare interpreter ({took * 1e3:.0f} ms to {bare * 1e3:.0f} ms)")


if __name__ == "__main__":
    main()
