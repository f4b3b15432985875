"""The generator's elements, computed here from its seed alone: bytes, sizes, event times and lateness are what its payload says they are, and
neither batches nor crashes change them."""
import unittest

from engine import GENERATOR, EngineTest, pipeline, source

WORD = (1 << 64) - 1
STEP = 0x9e3779b97f4a7c15
SIZE, LATE, TIME = 1, 2, 3


def mix(x):
    x = ((x ^ (x >> 30)) * 0xbf58476d1ce4e5b9) & WORD
    x = ((x ^ (x >> 27)) * 0x94d049bb133111eb) & WORD
    return x ^ (x >> 31)


class Model:
    def __init__(self, rate, origin_us=0, seed=1, burst=1, size=100, size_max=None, out_of_order_ms=0, late=0.0, late_ms=1000):
        self.rate, self.origin, self.seed, self.burst = rate, origin_us, mix(seed), burst
        self.size, self.sizes = size, (size_max or size) - size + 1
        self.disorder, self.late, self.late_by = out_of_order_ms * 1000, late, late_ms * 1000

    def random(self, number):
        return mix((self.seed + number * STEP) & WORD)

    def draw(self, number, what):
        return mix(self.random(number) ^ what)

    def watermark(self, number):
        number -= number % self.burst
        return self.origin + int(number * 1e6 / self.rate) - self.disorder

    def is_late(self, number):
        return number > 0 and (self.draw(number, LATE) >> 11) * 2.0 ** -53 < self.late

    def time(self, number):
        if self.is_late(number):
            return self.watermark(number) - 1 - self.draw(number, TIME) % self.late_by
        return self.watermark(number) + self.disorder - self.draw(number, TIME) % (self.disorder + 1)

    def bytes(self, number):
        size = self.size + self.draw(number, SIZE) % self.sizes
        random, text = self.random(number), b"%d " % number
        while len(text) < size:
            random = mix((random + STEP) & WORD)
            for shift in (0, 4):
                text += bytes((byte >> shift & 15) + ord("a") for byte in random.to_bytes(8, "little"))
        return text[:size]


class GeneratorTest(EngineTest):
    def check(self, name, model, count):
        """Each element is the model's, and behind the watermark where the model says so and nowhere else."""
        job = self.engine.wait(name)
        self.assertEqual((job["stop_reason"], job["elements"]), ("sources_ended", count), job.get("error"))
        number, watermark = 0, None
        for event, elements in self.engine.replay(pipeline=name):
            if event["event"] == "watermark":
                watermark = event["to"]
            for time, body in elements or ():
                self.assertEqual((time, bytes(body)), (model.time(number), model.bytes(number)), number)
                self.assertEqual(model.is_late(number), watermark is not None and time < watermark, number)
                number += 1
        self.assertEqual(number, count)

    def test_disorder_is_what_the_payload_says_in_a_replay(self):
        payload = {"rate": 20000, "origin_us": 10 ** 15, "seed": 5, "burst": 100, "size": 10, "size_max": 60, "out_of_order_ms": 40,
                   "late": 0.02, "late_ms": 300}
        self.engine.run(pipeline("disorder", source("Read", GENERATOR, {**payload, "count": 6000})))
        self.check("disorder", Model(**payload), 6000)

    def test_a_crash_changes_no_element(self):
        payload = {"rate": 3000, "origin_us": 0, "burst": 7, "size": 20, "size_max": 21, "out_of_order_ms": 5, "late": 0.05}
        self.engine.run(pipeline("crash", source("Read", GENERATOR, {**payload, "count": 6000})))
        for count in (1000, 2500, 4500):
            self.engine.replay(pipeline="crash", max_elements=count)
            self.engine.restart()
        self.check("crash", Model(**payload), 6000)


if __name__ == "__main__":
    unittest.main()
