"""How much several recordings sound like the speech that was said: PESQ wideband and STOI.

usage: quality.py SAID.wav SPANS HEARD.wav...

All are 16-bit mono files at 48 kHz. SPANS names the pieces of SAID that count, in samples: "96000+72000,170000+68000". A jitter
buffer's delay moves, so each piece is looked for on its own, near where the whole lies; the pieces of what was heard, one
after the other, are compared with those of what was said. Prints one line of JSON for each recording:

  pesq   PESQ wideband (ITU-T P.862.2), 1.0 to 4.64
  stoi   short-time objective intelligibility (Taal et al., IEEE TASL 2011), 0 to 1
  lags   where each piece lies in HEARD later than in SAID, in milliseconds
"""

import json
import sys

import numpy
import pesq
import pystoi

from score import PESQ_RATE_HZ, RATE_HZ, cut, lag_of, read, to_pesq_rate

# Root mean square of the noise that is added to both: PESQ divides by the power of what it compares, and digital silence has none.
NOISE = 1e-5
# Each piece may lie this far from where the whole lies.
SLACK = RATE_HZ * 3 // 10


def piece_lag(said, heard, start, length, lag):
    near = cut(heard, lag + start - SLACK, length + 2 * SLACK)
    shift = lag_of(said[start : start + length], near)
    return lag + min(max(shift, 0), 2 * SLACK) - SLACK


def main():
    said = read(sys.argv[1])
    spans = [tuple(int(part) for part in span.split("+")) for span in sys.argv[2].split(",")]
    noise = numpy.random.default_rng(1).normal(0, NOISE, sum(length for _, length in spans))
    wanted = to_pesq_rate(numpy.concatenate([said[start : start + length] for start, length in spans]) + noise)
    for path in sys.argv[3:]:
        heard = read(path)
        lag = lag_of(said, heard)
        lags = [piece_lag(said, heard, start, length, lag) for start, length in spans]
        pieces = [cut(heard, start + lag, length) for (start, length), lag in zip(spans, lags)]
        got = to_pesq_rate(numpy.concatenate(pieces) + noise)
        result = {
            "pesq": round(pesq.pesq(PESQ_RATE_HZ, wanted, got, "wb"), 3),
            "stoi": round(float(pystoi.stoi(wanted, got, PESQ_RATE_HZ)), 4),
            "lags": [round(1000 * lag / RATE_HZ, 1) for lag in lags],
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
