"""Writers in processes of their own, to be killed: each prints an event's hash once it was acknowledged.

Arguments: where, key file, bytes that a file may have (0: any), then patients, one for each process.
"""

import os
import signal
import sys
from pathlib import Path

from clinic_course import diary

from epidura.clinic.record import Full, Record


def say(words: str) -> None:
    os.write(1, f"{words}\n".encode())  # at once and whole: several write to the same pipe


def work(where: str, key: str, most: int, patient: str) -> None:
    if most:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    record = Record.open(where, Path(key))
    say("ready")
    for k in range(1_000_000):
        try:
            done = record.commit("writer", patient, [diary(k % 300)], request=f"{patient}:{k}")
        except Full as error:
            say(f"full {error}")
            return
        say(done.events[0].hash)


def main() -> None:
    where, key, most, *patients = sys.argv[1:]
    for patient in patients[1:]:
        if not os.fork():
            work(where, key, int(most), patient)
            os._exit(0)
    work(where, key, int(most), patients[0])


if __name__ == "__main__":
    main()
