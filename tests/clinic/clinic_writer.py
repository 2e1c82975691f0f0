"""A writer in a process of its own, to be killed: prints each event's hash once it was acknowledged.

Arguments: where, key file, patient, number of the writer, bytes that a file may have (0: any).
"""

import signal
import sys
from pathlib import Path

from clinic_course import diary

from epidura.clinic.record import Full, Record


def main() -> None:
    where, key, patient, number, most = sys.argv[1:]
    if int(most):
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
    record = Record.open(where, Path(key))
    print("ready", flush=True)
    for k in range(1_000_000):
        try:
            done = record.commit(f"writer {number}", patient, [diary(k % 300)], request=f"{number}:{k}")
        except Full as error:
            print(f"full {error}", flush=True)
            return
        print(done.events[0].hash, flush=True)


if __name__ == "__main__":
    main()
