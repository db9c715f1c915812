"""How much a recording sounds like the speech that was said: alignment by cross-correlation, then PESQ.

usage: score.py SAID.wav HEARD.wav

Both are 16-bit mono files at 48 kHz. HEARD may begin earlier or later than SAID and go on longer. Prints one line of JSON:

  lag_ms        where in HEARD the first sample of SAID lies, from the highest cross-correlation of the whole
  correlation   of SAID and the aligned part of HEARD, 1.0 for the same waveform
  windows       the same for each 400 ms of SAID that hold speech, each aligned on its own within 300 ms
  pesq          PESQ wideband (ITU-T P.862.2), 1.0 to 4.64; MOS-LQO of the whole
"""

import json
import sys
import wave

import numpy
import pesq

RATE_HZ = 48_000
PESQ_RATE_HZ = 16_000
WINDOW = RATE_HZ * 2 // 5
# Each window may lie this far from where the whole lies: jitter buffers move.
WINDOW_SLACK = RATE_HZ * 3 // 10
# A window quieter than this, root mean square of full scale 1, holds no speech.
SPEECH_RMS_MIN = 0.01


def read(path):
    with wave.open(path, "rb") as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE_HZ, 1, 2), path
        return numpy.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float) / 32768


def lag_of(said, heard):
    """The shift of `heard` at which it fits `said` best."""
    size = 1 << (len(said) + len(heard)).bit_length()
    spectrum = numpy.fft.rfft(heard, size) * numpy.conj(numpy.fft.rfft(said, size))
    lag = int(numpy.argmax(numpy.fft.irfft(spectrum, size)))
    return lag if lag < len(heard) else lag - size


def cut(samples, start, length):
    """`length` samples from `start` on, silence where there are none."""
    out = numpy.zeros(length)
    first, last = max(start, 0), min(start + length, len(samples))
    if first < last:
        out[first - start : last - start] = samples[first:last]
    return out


def correlation(a, b):
    norm = numpy.linalg.norm(a) * numpy.linalg.norm(b)
    return float(numpy.dot(a, b) / norm) if norm > 0 else 0.0


def windows(said, heard, lag):
    found = []
    for start in range(0, len(said) - WINDOW + 1, WINDOW):
        part = said[start : start + WINDOW]
        if numpy.sqrt(numpy.mean(part**2)) < SPEECH_RMS_MIN:
            continue
        near = cut(heard, lag + start - WINDOW_SLACK, WINDOW + 2 * WINDOW_SLACK)
        shift = min(max(lag_of(part, near), 0), 2 * WINDOW_SLACK)
        found.append(round(correlation(part, near[shift : shift + WINDOW]), 4))
    return found


def to_pesq_rate(samples):
    """Every third sample behind a low-pass at 7.5 kHz."""
    taps = numpy.arange(-120, 121)
    low_pass = numpy.sinc(taps * 2 * 7_500 / RATE_HZ) * numpy.hamming(len(taps))
    return numpy.convolve(samples, low_pass / low_pass.sum(), "same")[:: RATE_HZ // PESQ_RATE_HZ]


def main():
    said, heard = read(sys.argv[1]), read(sys.argv[2])
    lag = lag_of(said, heard)
    aligned = cut(heard, lag, len(said))
    result = {
        "lag_ms": round(1000 * lag / RATE_HZ, 2),
        "correlation": round(correlation(said, aligned), 4),
        "windows": windows(said, heard, lag),
        "pesq": round(pesq.pesq(PESQ_RATE_HZ, to_pesq_rate(said), to_pesq_rate(aligned), "wb"), 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
