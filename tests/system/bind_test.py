"""Sources of Beam pipelines that a binding in the configuration gives to a connector, or to a worker: from the file to what is recorded."""
import json
import pathlib
import tempfile
import unittest

from engine import Engine
from reprised_test import reprised
from wire import PUBSUB, beam, coder, read, text

BYTES = coder("bytes", "beam:coder:bytes:v1")


class BindTest(unittest.TestCase):
    def engine(self, bindings):
        engine = Engine()
        self.addCleanup(engine.remove)
        engine.stop()
        self.file = engine.folder / "reprise.zpl"
        self.file.write_text("bind\n" + bindings.format(folder=engine.folder))
        engine.flags = [*engine.flags, "--config", str(self.file)]
        engine.start()
        return engine

    def recorded(self, engine, name, topic):
        """What is recorded of a read of that topic."""
        run = engine.run({"name": name, "beam": beam(["a"], read("a", topic, coder="bytes"), BYTES)})
        self.assertEqual(run["tags"], ["a.out"])
        return engine.wait(name)

    def payloads(self, engine, name):
        return [bytes(element[2]) for element in engine.elements(pipeline=name)]

    LINES = """    clicks
        urn = "beam:transform:pubsub_read:v1"
        when
            topic = "projects/*/topics/clicks"
        source = "reprise:source:file:v1"
        payload
            path = "{folder}/{{topic:last}}.json"
            follow = false
"""

    def test_a_read_is_recorded_by_a_connector_and_keeps_its_own_signature(self):
        engine = self.engine(self.LINES)
        (engine.folder / "clicks.json").write_text("one\ntwo\n")
        job = self.recorded(engine, "bound", "clicks")
        self.assertEqual((job["state"], job["stop_reason"]), ("DONE", "sources_ended"))
        self.assertEqual(self.payloads(engine, "bound"), [b"one", b"two"])
        payload = text(1, "projects/p/topics/clicks").hex()
        self.assertEqual(engine.ask("source.signature", pipeline="bound")["signature"], [f"{PUBSUB}|{payload}"])
        self.assertEqual(engine.run("bound")["reason"], "recording_valid")

    def test_what_was_bound_goes_on_after_a_crash_though_the_file_says_something_else_by_then(self):
        engine = self.engine(self.LINES.replace("follow = false", "follow = true"))
        lines = engine.folder / "clicks.json"
        lines.write_text("one\n")
        engine.run({"name": "kept", "beam": beam(["a"], read("a", "clicks", coder="bytes"), BYTES)}, limits={"count": 2})
        engine.kill()
        self.file.write_text("")
        engine.start()
        with open(lines, "a") as more:
            more.write("two\n")
        self.assertEqual(engine.wait("kept")["stop_reason"], "count")
        self.assertEqual(self.payloads(engine, "kept"), [b"one", b"two"])

    def test_elements_are_in_the_coder_that_the_binding_says(self):
        engine = self.engine("""    users
        urn = "beam:transform:pubsub_read:v1"
        source = "reprise:source:file:v1"
        coder = "kv<string_utf8,string_utf8>"
        payload
            path = "{folder}/users.json"
            format = "json"
            key = "/user"
            follow = false
""")
        lines = [{"user": "ann", "n": 1}, {"n": 2}, {"user": 7}]
        (engine.folder / "users.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.assertEqual(self.recorded(engine, "users", "any")["state"], "DONE")
        keys = [b"\x03ann", b"\x00", b"\x017"]
        self.assertEqual(self.payloads(engine, "users"), [key + json.dumps(line).encode() for key, line in zip(keys, lines)])

    def test_what_the_coder_cannot_take_fails_the_job(self):
        engine = self.engine(self.LINES.replace("        payload\n", "        coder = \"string_utf8\"\n        payload\n"))
        (engine.folder / "clicks.json").write_bytes(b"fine\n\xff\n")
        job = self.recorded(engine, "bad", "clicks")
        self.assertEqual((job["state"], job["error"]), ("FAILED", "`a.out`: an element's value is not UTF-8, as its coder `string_utf8` needs"))

    def test_a_binding_that_cannot_be_filled_fails_the_job_by_key_and_value(self):
        engine = self.engine("""    any
        urn = "beam:*"
        source = "reprise:source:file:v1"
        payload
            path = "/{{subscription}}"
""")
        job = self.recorded(engine, "unfilled", "clicks")
        self.assertEqual(job["state"], "FAILED")
        self.assertEqual(job["error"], "`bind/any/payload/path` = \"/{subscription}\": the payload of `" + PUBSUB + "` has no text or number called "
                                       "`subscription`")

    def test_a_binding_to_a_worker_asks_for_that_worker(self):
        engine = self.engine("""    other
        urn = "beam:transform:pubsub_read:v1"
        source = "my:worker"
        payload
            name = "{{topic:last}}"
""")
        engine.run({"name": "outside", "beam": beam(["a"], read("a", "clicks", coder="bytes"), BYTES)})
        self.assertEqual(engine.ask("job.describe", pipeline="outside")["needs_workers"], ["my:worker"])
        engine.ask("job.cancel", pipeline="outside")

    def test_what_is_wrong_in_the_file_stops_the_start_and_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            bad = pathlib.Path(folder) / "bad.zpl"
            bad.write_text("bind\n    a\n        urn = \"u\"\n        source = \"reprise:source:file:v1\"\n        payload\n            pth = 1\n")
            result = reprised("--config", bad)
            self.assertEqual(result.returncode, 2)
            self.assertIn("`bind/a/payload/pth`: the payload of `reprise:source:file:v1` has no such field", result.stderr)

    def test_the_settings_that_are_printed_have_the_bindings_again(self):
        with tempfile.TemporaryDirectory() as folder:
            given = pathlib.Path(folder) / "given.zpl"
            given.write_text("bind\n" + self.LINES.format(folder="/log"))
            printed = reprised("--check-config", "--config", given)
            self.assertIn("bind\n" + self.LINES.format(folder="/log").replace("follow = false", 'follow = "false"'), printed.stdout)
            given.write_text(printed.stdout)
            self.assertEqual(reprised("--check-config", "--config", given).stdout, printed.stdout)


if __name__ == "__main__":
    unittest.main()
