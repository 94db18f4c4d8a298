"""The transform that the settings name."""

from consumer.domain.chunks import Footprint
from consumer.settings import Settings
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.rule import BIGQUERY, BIGQUERY_DEPTH, Limits
from consumer.transforms.contract import Transform, load_transform


def transform_of(settings: Settings) -> Transform | None:
    """None where there is none. Raises TransformError."""
    place = settings.optional_text("transform")
    return None if place is None else load_transform(place, folder=settings.path("transform.folder"))


def input_judge(settings: Settings) -> Judge:
    """What a record has to keep to before it is given to a function: what its backend takes, and what can be read."""
    if settings.backend == "bigquery":
        return Judge(BIGQUERY)
    depth = min(settings.integer("s3.max_depth"), BIGQUERY_DEPTH)
    return Judge(Limits(max_depth=depth, unicode_only=True))


def footprint_behind(footprint: Footprint) -> Footprint:
    """Of a sink behind a transform: the outputs, about as large as the records, stand beside these."""
    return Footprint(made_of_byte=footprint.made_of_byte + 1, made_of_record=footprint.made_of_record)
