"""A policy on a robot's network: openpi's protocol, a server, and a client that needs numpy alone."""
