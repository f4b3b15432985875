"""Completion in the shells that people type in: a real bash, and a real zsh, ask the real client, and the client an engine."""
import fcntl
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import tempfile
import termios
import time
import unittest

from engine import BUILD, PATIENCE, ROOT, EngineTest

COMPLETION = ROOT / "bin" / "completion"

# What makes a shell ready: completion, and ^X, which prints the line as it is and drops it.
BASH = f"""
source {COMPLETION}/reprise.bash; source {COMPLETION}/reprised.bash
show() {{ printf 'LINE:%s:END\\n' "$READLINE_LINE"; READLINE_LINE=; READLINE_POINT=0; }}
bind -x '"\\C-x": show' 2>/dev/null; bind 'set enable-bracketed-paste off'; bind 'set bell-style none'
"""
ZSH = f"""
fpath=({COMPLETION} $fpath); autoload -U compinit; compinit -u -D; bindkey -e; unsetopt prompt_sp
show() {{ print -r -- "LINE:$BUFFER:END"; BUFFER=; zle .accept-line }}; zle -N show; bindkey '^X' show; unsetopt beep
"""


class Shell:
    """An interactive shell on a terminal."""

    def __init__(self, command, setup, env, folder):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=folder,
                                        env={**env, "TERM": "dumb", "PS1": ""},
                                        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        (folder / "setup").write_text(setup)
        os.write(self.master, b". ./setup; rm setup; printf 'REA%s\\n' DY\n")
        self.read(r"READY\r?\n")

    def read(self, pattern):
        """What the terminal shows, up to what is looked for."""
        shown = ""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, shown, re.S)):
            if not select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"no {pattern} in {shown!r}")
            shown += os.read(self.master, 65536).decode(errors="replace")
        return found

    def typed(self, line):
        """The line that there is after it was typed, and a tab."""
        os.write(self.master, line.encode() + b"\t\x18")
        return self.read(r"LINE:(.*?):END")[1].replace("\r", "").replace("\n", "")

    def close(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self.master)


class CompletionTest(EngineTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env = {**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}", "REPRISE_ENGINE": cls.engine.endpoints["commands"],
                   "HOME": str(cls.engine.folder)}

    def words(self, *words):
        """What `reprise complete` offers, word by word."""
        run = subprocess.run([BUILD / "reprise", "complete", "--", "reprise", *words], env=self.env, capture_output=True, text=True,
                             timeout=PATIENCE)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return [line.split("\t")[0] for line in run.stdout.splitlines()]


class Offering(CompletionTest):
    def test_commands_flags_and_values_are_those_of_the_tables(self):
        helped = subprocess.run([BUILD / "reprise", "--help"], capture_output=True, text=True, timeout=PATIENCE).stdout
        commands = self.words("")
        self.assertIn("recordings", commands)
        self.assertNotIn("complete", commands)
        for command in commands:
            self.assertRegex(helped, rf"(?m)^  {command} ")
            own = subprocess.run([BUILD / "reprise", command, "--help"], capture_output=True, text=True, timeout=PATIENCE).stdout
            for flag in self.words(command, "--"):
                self.assertIn(f"\n  {flag}", own)
        self.assertEqual(self.words("rec"), ["record", "recordings"])
        self.assertEqual(self.words("replay", "--no"), ["--no-follow"])
        self.assertEqual(self.words("replay", "--format", ""), ["json", "raw", "hex"])
        self.assertEqual(self.words("replay", "--format=h"), ["--format=hex"])
        self.assertEqual(self.words("run", "--rewrite", ""), [":files"])
        self.assertEqual(self.words("nonsense", ""), [])

    def test_names_are_those_of_the_engine(self):
        recording = self.recorded("clicks")["recording"]
        running = self.pushable("views", "Left", "Right")["job"]
        self.assertEqual(self.words("forget", "c"), ["clicks"])
        self.assertEqual(self.words("replay", recording[:-1]), [recording])
        self.assertIn("clicks", self.words("replay", ""))
        self.assertEqual([word for word in self.words("cancel", "") if word not in ("clicks", "views")], [running])
        self.assertEqual(sorted(self.words("push", "views", "")), ["Left", "Right"])
        self.assertEqual(self.words("replay", "clicks", "--tag", ""), ["Read"])
        self.assertEqual(self.words("replay", "clicks", ""), [])
        self.assertEqual(self.words("delete", "--all", "cl"), ["clicks"])
        self.assertEqual(self.words("--engine", self.engine.endpoints["commands"], "--json", "forget", "cli"), ["clicks"])
        self.engine.ask("pipeline.forget", pipeline="views")

    def test_sources_and_their_fields_are_offered(self):
        self.assertLessEqual({"file:", "generator:?", "push:"}, set(self.words("record", "")))
        self.assertEqual(self.words("record", "generator:?rate=1&se"), ["generator:?rate=1&seed="])
        self.assertEqual(self.words("record", "file:/a?follow="), ["file:/a?follow=true", "file:/a?follow=false"])
        self.assertEqual(self.words("record", "generator:", "file:/var"), [":files"])
        self.assertIn("kafka://", self.words("record", "kaf"))
        self.assertEqual(self.words("record", "kafka://b/a?password"), ["kafka://b/a?password_file="])
        self.assertEqual(self.words("record", "kafka://b/a?password_file="), [":files"])
        self.assertEqual(self.words("options", "keep"), ["keep_recordings="])

    def test_without_an_engine_there_are_no_names_and_no_words(self):
        self.assertEqual(self.words("--engine", "ipc:///nonexistent/engine", "forget", ""), [])
        self.assertEqual(self.words("--timeout", "never", "forget", "--ju"), [])


class Typing(CompletionTest):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="reprise-test-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def shell(self, command, setup):
        shell = Shell(command, setup, self.env, self.folder)
        self.addCleanup(shell.close)
        return shell

    def bash(self):
        return self.shell(["bash", "--norc", "--noprofile", "-i"], BASH)

    def test_bash_completes_a_word_from_where_it_breaks_it(self):
        self.recorded("typed")
        bash = self.bash()
        for typed, completed in (("reprise opt", "reprise options "), ("reprise rec", "reprise record"),
                                 ("X=1 reprise rep", "X=1 reprise replay "),
                                 ("reprise forget typ", "reprise forget typed "),
                                 ("reprise replay --format=h", "reprise replay --format=hex "),
                                 ("reprise record gen", "reprise record generator:\\?"),
                                 ("reprise record generator:\\?se", "reprise record generator:\\?seed="),
                                 ("reprise record 'generator:?rate=1&se", "reprise record 'generator:?rate=1&seed='"),
                                 ("reprise push typed ", "reprise push typed Read "),
                                 ("reprise options keep", "reprise options keep_recordings="),
                                 ("reprised --beam-tls-ce", "reprised --beam-tls-cert ")):
            with self.subTest(typed=typed):
                self.assertEqual(bash.typed(typed), completed)

    def test_names_of_others_are_words_and_no_commands(self):
        name = "$(touch harm) `touch harm`; 'touch' \"harm\" & *"
        self.pushable(name)
        bash = self.bash()
        for begun in ("reprise forget ", 'reprise forget "'):
            with self.subTest(begun=begun):
                line = bash.typed(begun + "\\$")
                ran = subprocess.run(["bash", "-c", f'reprise() {{ printf %s "$2"; }}; {line}'], cwd=self.folder, capture_output=True,
                                     text=True, timeout=PATIENCE)
                self.assertEqual(ran.stdout, name)
                self.assertEqual(os.listdir(self.folder), [])
        self.assertEqual(bash.typed("reprise forget '$(tou"), "reprise forget '$(tou")  # it has such a quote inside
        self.engine.ask("pipeline.forget", pipeline=name)

    def test_bash_completes_files_where_they_can_stand(self):
        (self.folder / "definition.json").write_text("{}")
        bash = self.bash()
        self.assertEqual(bash.typed("reprise run def"), "reprise run definition.json ")
        self.assertEqual(bash.typed("reprise record file:def"), "reprise record file:definition.json ")
        self.assertEqual(bash.typed("reprise record def"), "reprise record def")
        self.assertEqual(bash.typed("reprised --config def"), "reprised --config definition.json ")

    @unittest.skipUnless(shutil.which("zsh"), "there is no zsh")
    def test_zsh_completes_words_and_names(self):
        self.recorded("typed")
        (self.folder / "definition.json").write_text("{}")
        zsh = self.shell(["zsh", "-f", "-i"], ZSH)
        for typed, completed in (("reprise opt", "reprise options"), ("reprise forget typ", "reprise forget typed"),
                                 ("reprise replay --format=h", "reprise replay --format=hex"),
                                 ("reprise run def", "reprise run definition.json"),
                                 ("reprise record gen", "reprise record generator:\\?"),
                                 ("reprise record 'generator:?rate=1&se", "reprise record 'generator:?rate=1&seed="),
                                 ("reprise record file:def", "reprise record file:definition.json"),
                                 ("reprise record 'kafka://b/a?password_file=def",
                                  "reprise record 'kafka://b/a?password_file=definition.json'"),
                                 ("reprise push typed ", "reprise push typed Read"),
                                 ("reprise options keep", "reprise options keep_recordings=")):
            with self.subTest(typed=typed):
                self.assertEqual(zsh.typed(typed).rstrip(), completed)

    @unittest.skipUnless(shutil.which("zsh"), "there is no zsh")
    def test_names_of_others_are_words_in_zsh_too(self):
        name = "$(touch harm) `touch harm`; 'touch' \"harm\" & *"
        self.pushable(name)
        line = self.shell(["zsh", "-f", "-i"], ZSH).typed("reprise forget \\$")
        ran = subprocess.run(["zsh", "-f", "-c", f'reprise() {{ printf %s "$2"; }}; {line}'], cwd=self.folder,
                             capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(ran.stdout, name)
        self.assertEqual(os.listdir(self.folder), [])
        self.engine.ask("pipeline.forget", pipeline=name)


if __name__ == "__main__":
    unittest.main()
