"""Two requests for one pipeline, one after the other: each row of the table in docs/jobs.md, of what two clients at once can see."""
import re
import unittest

from engine import PUSH, ROOT, Refused, source
from parity_test import ParityTest

# A row of the page → what is there before; what the two ask; what each is answered; then the pipeline's jobs and its recordings.
PAIRS = {
    "run, run (same sources)": [("", "run a", "run a", "first_run", "no: job_running", "RUNNING", 1)],
    "run, run (different sources)": [("", "run a", "run b", "first_run", "sources_changed", "CANCELLED superseded, RUNNING", 1)],
    "run, cancel": [("", "run a", "cancel", "first_run", "cancelled", "CANCELLED user", 1)],
    "cancel, run": [("running", "cancel", "run a", "cancelled", "job_cancelled", "CANCELLED user, RUNNING", 1),
                    ("", "cancel", "run a", "nothing cancelled", "first_run", "RUNNING", 1)],
    "run, clear": [("", "run a", "clear", "first_run", "invalid_state", "RUNNING", 1)],
    "clear, run": [("recorded", "clear", "run a", "1 dropped", "recording_missing", "DONE sources_ended, RUNNING", 1),
                   ("", "clear", "run a", "0 dropped", "first_run", "RUNNING", 1)],
    "run, changed (same sources)": [("", "run a", "changed a", "first_run", "not changed", "RUNNING", 1)],
    "changed, run (same sources)": [("recorded", "changed b", "run b", "changed", "sources_changed", "DONE sources_ended, RUNNING", 1)],
    "run, changed (different sources)": [("", "run a", "changed b", "first_run", "changed", "CANCELLED superseded", 0)],
    "run, forget": [("", "run a", "forget", "first_run", "ok", "", 0)],
    "forget, run": [("recorded", "forget", "run by name", "ok", "not_found", "", 0),
                    ("recorded", "forget", "run a", "ok", "first_run", "RUNNING", 1)],
    "cancel, cancel": [("running", "cancel", "cancel", "cancelled", "nothing cancelled", "CANCELLED user", 1)],
    "cancel, clear": [("running", "cancel", "clear", "cancelled", "1 dropped", "CANCELLED user", 0)],
    "clear, cancel": [("running", "clear", "cancel", "invalid_state", "cancelled", "CANCELLED user", 1)],
    "cancel, changed": [("running", "cancel", "changed b", "cancelled", "changed", "CANCELLED user", 0)],
    "changed, cancel": [("running", "changed b", "cancel", "changed", "nothing cancelled", "CANCELLED superseded", 0)],
    "cancel, forget": [("running", "cancel", "forget", "cancelled", "ok", "", 0)],
    "forget, cancel": [("running", "forget", "cancel", "ok", "nothing cancelled", "", 0)],
    "clear, clear": [("recorded", "clear", "clear", "1 dropped", "0 dropped", "DONE sources_ended", 0)],
    "clear, changed": [("recorded", "clear", "changed b", "1 dropped", "changed", "DONE sources_ended", 0)],
    "changed, clear": [("recorded, one stays", "changed b", "clear", "changed", "1 dropped", "DONE sources_ended", 0),
                       ("recorded, pinned", "changed b", "clear", "changed", "0 dropped", "DONE sources_ended", 1)],
    "changed, changed": [("recorded", "changed b", "changed b", "changed", "not changed", "DONE sources_ended", 0)],
    "clear, forget": [("recorded", "clear", "forget", "1 dropped", "ok", "", 0)],
    "forget, clear": [("recorded", "forget", "clear", "ok", "0 dropped", "", 0)],
    "changed, forget": [("recorded", "changed b", "forget", "changed", "ok", "", 0)],
    "forget, changed": [("recorded", "forget", "changed by name", "ok", "not_found", "", 0),
                        ("recorded", "forget", "changed a", "ok", "changed", "", 0)],
    "forget, forget": [("recorded", "forget", "forget", "ok", "not_found", "", 0)],
    "keep, changed": [("recorded", "keep", "changed b", "kept", "changed", "DONE sources_ended", 1)],
    "changed, keep": [("recorded", "changed b", "keep", "changed", "not_found", "DONE sources_ended", 0)],
    "delete, delete": [("recorded", "delete", "delete", "1 dropped", "not_found", "DONE sources_ended", 0)],
}


class Pairs(ParityTest):
    def meant(self, which):
        return self.name if which == "by name" else self.of(source("Read", PUSH, which))

    def prepare(self, before):
        """What is there before the two ask: nothing, a job that runs, or a complete recording."""
        self.recording = None
        self.engine.ask("options.set", keep_recordings=1 if "one stays" in before else 0)
        if before:
            self.recording = self.engine.run(self.meant("a"))["recording"]
        if before.startswith("recorded"):
            self.push(1, done=True)
            self.engine.wait(self.name)
        if "pinned" in before:
            self.do("keep")

    def do(self, action):
        """The answer to one request, in a word or two."""
        word, _, which = action.partition(" ")
        try:
            return getattr(self, f"do_{word}")(*([self.meant(which)] if which else []))
        except Refused as refusal:
            return refusal.error["code"]

    def do_run(self, definition):
        answer = self.engine.run(definition)
        return answer["reason"] if answer["started"] else f"no: {answer['reason']}"

    def do_changed(self, definition):
        return "changed" if self.engine.ask("source.changed", pipeline=definition)["changed"] else "not changed"

    def do_cancel(self):
        return "cancelled" if self.engine.ask("job.cancel", pipeline=self.name)["cancelled"] else "nothing cancelled"

    def do_clear(self):
        return f"{len(self.engine.ask('recording.clear', pipeline=self.name)['recordings'])} dropped"

    def do_delete(self):
        return f"{len(self.engine.ask('recording.delete', recording=self.recording)['recordings'])} dropped"

    def do_keep(self):
        return "kept" if self.engine.ask("recording.keep", recording=self.recording, kept=True)["kept"] else "not kept"

    def do_forget(self):
        return "ok" if self.engine.ask("pipeline.forget", pipeline=self.name)["ok"] else "not ok"

    def left(self):
        """The jobs of the pipeline, the oldest first, and how many recordings it has."""
        jobs = [one for one in self.engine.ask("job.list")["jobs"] if one["pipeline"] == self.name]
        recordings = [one for one in self.engine.ask("recording.list")["recordings"] if one["pipeline"] == self.name]
        return ", ".join(" ".join(filter(None, (one["state"], one.get("stop_reason")))) for one in jobs), len(recordings)

    def test_each_row_of_the_page_is_what_happens(self):
        for row, cases in PAIRS.items():
            for number, (before, first, second, *answers, jobs, recordings) in enumerate(cases):
                with self.subTest(row=row, before=before):
                    self.name = f"{row} {number}"
                    self.prepare(before)
                    self.assertEqual([self.do(first), self.do(second)], answers)
                    self.assertEqual(self.left(), (jobs, recordings))

    def test_the_page_has_these_rows_and_no_others(self):
        page = (ROOT / "docs" / "jobs.md").read_text()
        table = page[page.index("| two ask |"):].split("\n\n")[0].splitlines()[2:]
        self.assertEqual({re.match(r"\| ([^|]+) \|", line).group(1) for line in table}, set(PAIRS))


if __name__ == "__main__":
    unittest.main()
