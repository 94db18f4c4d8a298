"""What a backend's properties file sets, for levels that measure as in production."""

from consumer.local.child import ROOT
from consumer.local.stack import FAST_LEASES
from consumer.settings import Settings, load
from consumer.settings.table import Backend

_NEEDED = {
    "s3": {"s3.bucket": "nowhere"},
    "bigquery": {"bigquery.project": "nowhere"},
}


def production_settings(backend: Backend) -> Settings:
    """As the backend's properties file and the defaults have them; what names places names none."""
    overrides = {
        "streamName": "nowhere",
        "regionName": "us-east-1",
        "deadletter.bucket": "nowhere",
        **_NEEDED[backend],
    }
    return load(backend, file=ROOT / "properties" / f"{backend}.properties", overrides=overrides)


def production_leases(backend: Backend) -> dict[str, str]:
    """What the stack sets to be quick, as production has it."""
    settings = production_settings(backend)
    return {key: str(settings[key]) for key in FAST_LEASES if settings[key] is not None}
