"""Each campaign for a few seconds, so that none of them rots; tests/system/campaign runs them for as long as one likes.

REPRISE_SEED says what chance begins with, and a failure prints it; REPRISE_CAMPAIGN_SECONDS how long each is.
"""
import os
import random
import unittest

from campaign_list import CAMPAIGNS, campaign, told

SEED = int(os.environ.get("REPRISE_SEED") or random.randrange(1 << 16))
SECONDS = int(os.environ.get("REPRISE_CAMPAIGN_SECONDS") or 2)


class Campaigns(unittest.TestCase):
    def survive(self, name):
        figures = campaign(name, SEED, SECONDS)
        print("\n" + told(name, SEED, SECONDS, figures))
        self.assertGreater(figures["faults"], 0)
        self.assertGreater(figures["requests"] + figures["acknowledged"], 0)
        self.assertEqual((figures["lost"], figures["doubled"]), (0, 0))
        self.assertEqual(figures["answered"] + figures["unanswered"], figures["requests"])
        self.assertEqual(figures["unanswered"] if name not in ("processes", "guards", "brokers") else 0, 0)

    def test_actors_fail_and_hang_under_load(self):
        self.survive("actors")

    def test_messages_between_actors_are_late_lost_and_doubled(self):
        self.survive("messages")

    def test_the_process_is_killed_under_load(self):
        self.survive("processes")

    def test_the_process_dies_while_a_guard_stands_by(self):
        self.survive("guards")

    def test_the_disk_fails_under_load(self):
        self.survive("disks")

    def test_client_processes_are_killed_in_the_middle(self):
        self.survive("clients")

    def test_connections_go_silent_and_stay_open(self):
        self.survive("silences")

    def test_clients_come_and_go_by_the_thousand(self):
        self.survive("connections")

    def test_brokers_sources_and_the_engine_die_while_everything_is_published(self):
        self.survive("brokers")

    def test_each_campaign_is_tried_here(self):
        self.assertEqual(len(CAMPAIGNS), len([name for name in dir(self) if name.startswith("test_")]) - 1)


if __name__ == "__main__":
    unittest.main()
