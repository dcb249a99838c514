"""What scrapers read of metrics, for tests that look at one number."""

from prometheus_client.parser import text_string_to_metric_families


def known(model):
    return True


def wall_us():
    return 1_000_000_000


def samples(metrics):
    text = metrics.render().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def value(metrics, name, **labels):
    if not name.startswith("gen_ai"):
        name = f"fallthrough_{name}"
    return samples(metrics).get((name, frozenset(labels.items())))
