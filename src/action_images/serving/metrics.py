"""The server's metrics, in Prometheus' text format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one server, in its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.observations = Counter(
            "action_images_observations",
            "Frames from clients by what became of them: answered, refused (bad frame or observation), "
            "failed (the policy), limited (too "
            "many a second), superseded (a newer one came), expired (timed out in the line), late (planned, "
            "but no longer wanted)",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("answered", "refused", "failed", "limited", "superseded", "expired", "late"):
            self.observations.labels(outcome)
        self.infer = Histogram(
            "action_images_infer_seconds", "Time in the policy", registry=self.registry, buckets=BUCKETS
        )
        self.total = Histogram(
            "action_images_total_seconds",
            "From a frame's arrival to its answer",
            registry=self.registry,
            buckets=BUCKETS,
        )
        self.clients = Gauge("action_images_clients", "Connected clients", registry=self.registry)
        self.waiting = Gauge(
            "action_images_waiting", "Observations waiting for the policy", registry=self.registry
        )
        self.ready = Gauge("action_images_ready", "1 while the policy is open", registry=self.registry)
        self.starts = Counter(
            "action_images_policy_starts", "Starts of the policy's process", registry=self.registry
        )
        self.turned_away = Counter(
            "action_images_turned_away",
            "Connections refused or cut, by reason",
            ["reason"],
            registry=self.registry,
        )
        for reason in ("token", "full", "slow", "too_large"):
            self.turned_away.labels(reason)

    def count(self, outcome: str) -> None:
        """Count a frame's outcome."""
        self.observations.labels(outcome).inc()

    def text(self) -> bytes:
        """All metrics as /metrics shows them."""
        return generate_latest(self.registry)
