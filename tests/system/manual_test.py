"""The manual pages: roff reads them without a complaint, and they tell of everything that can be typed."""
import os
import re
import subprocess
import unittest

from engine import BUILD, PATIENCE

PAGES = ("reprise.1", "reprised.8", "reprised.conf.5")


def output(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE, **more)


def page(name):
    """As a terminal shows it, without what makes letters bold; each blank is one."""
    source = output(BUILD / "reprise-docs", name).stdout
    shown = output("groff", "-man", "-Tutf8", "-P-cbou", input=source, env={**os.environ, "LC_ALL": "C.UTF-8"}).stdout
    return re.sub(r"\s+", " ", shown)


class ManualTest(unittest.TestCase):
    def test_roff_has_nothing_to_complain_about(self):
        for name in PAGES:
            with self.subTest(page=name):
                source = output(BUILD / "reprise-docs", name).stdout
                self.assertTrue(source.isascii())
                said = output("groff", "-man", "-ww", "-rCHECKSTYLE=3", "-Tutf8", "-Z", input=source)
                self.assertEqual(said.stderr, "")

    def test_every_command_and_flag_of_the_client_is_told_of(self):
        shown = page("reprise.1")
        commands = re.findall(r"(?m)^  ([a-z]+)  +[A-Z]", output(BUILD / "reprise", "--help").stdout)
        self.assertIn("record", commands)
        for command in commands:
            helped = output(BUILD / "reprise", command, "--help").stdout.splitlines()
            self.assertIn(f" {helped[0].removeprefix('reprise ').strip()} ", shown)
            for flag in re.findall(r"(?m)^  (--[a-z-]+)", "\n".join(helped)):
                self.assertIn(f" {flag} ", shown)

    def test_every_source_and_option_is_told_of(self):
        shown = page("reprise.1")
        for example in re.findall(r"(?m)^  ([a-z0-9+]+:\S*)$", output(BUILD / "reprise", "record", "--help").stdout):
            self.assertIn(f" {example} ", shown)
        for option in re.findall(r"(?m)^  ([a-z_]+)$", output(BUILD / "reprise", "options", "--help").stdout):
            self.assertIn(f" {option} ", shown)

    def test_every_setting_of_the_engine_is_told_of(self):
        flags, file = page("reprised.8"), page("reprised.conf.5")
        helped = output(BUILD / "reprised", "--help").stdout
        for flag in re.findall(r"(?m)^  --([a-z-]+)", helped):
            self.assertIn(f" --{flag} ", flags)
            self.assertEqual(f" {flag} = " in file, flag not in ("config", "check-config", "help", "version"), flag)

    def test_a_text_means_nothing_to_roff(self):
        """What stands in options' docs and examples comes out as it was written."""
        shown = page("reprised.conf.5")
        self.assertIn('path = "/tmp/{topic:last}.json"', shown)
        self.assertIn('urn = "beam:transform:pubsub_read:v1"', shown)
        self.assertIn("reprised --check-config", shown)


if __name__ == "__main__":
    unittest.main()
