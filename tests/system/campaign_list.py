"""All campaigns by their names, and how one is run and told."""
from campaign_brokers import Brokers
from campaign_load import FIGURES, Failed
from campaigns import Actors, Clients, Connections, Disks, Guards, Messages, Processes, Silences
from engine import DOORS

CAMPAIGNS = {"actors": Actors, "messages": Messages, "processes": Processes, "guards": Guards, "disks": Disks, "clients": Clients,
             "silences": Silences, "connections": Connections, "brokers": Brokers}


def told(name, seed, seconds, figures):
    """One line of figures, as docs/reliability.md shows them."""
    doors = [door for door in DOORS if figures[door]]
    return f"{name} seed {seed} {seconds} s: " + ", ".join(f"{what} {figures[what]}" for what in (*FIGURES, *doors))


def campaign(name, seed, seconds):
    try:
        return CAMPAIGNS[name](seed, seconds).run()
    except Exception as problem:
        raise Failed(f"campaign {name}, seed {seed}, {seconds} s: {problem}") from problem
