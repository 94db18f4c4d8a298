"""CloudWatch's OTLP endpoint, which wants requests signed (Signature Version 4); no agent or collector is in between.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-OTLPEndpoint.html
"""

from __future__ import annotations

import boto3
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import NoCredentialsError
from requests.auth import AuthBase

_SERVICE = "monitoring"
_CLIENT = "cloudwatch"
_UNSIGNED = ("connection", "accept-encoding", "user-agent")
"""What a proxy or the transport may change on the way."""


def cloudwatch_endpoint(region: str | None) -> str:
    """That of the region and its partition."""
    url: str = boto3.client(_CLIENT, region_name=region).meta.endpoint_url
    return f"{url}/v1/metrics"


def signing_session(region: str | None) -> requests.Session:
    """Signs each request with the credentials that this host has at that moment."""
    session = boto3.Session(region_name=region)
    signing = requests.Session()
    signing.auth = _Signature(session)
    return signing


class _Signature(AuthBase):
    def __init__(self, session: boto3.Session) -> None:
        self._session = session

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        credentials = self._session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        frozen = credentials.get_frozen_credentials()
        sign(
            request,
            Credentials(frozen.access_key, frozen.secret_key, frozen.token),
            region=self._session.region_name or "",
        )
        return request


def sign(request: requests.PreparedRequest, credentials: Credentials, *, region: str) -> None:
    """Adds the headers of the signature."""
    kept = {name: value for name, value in request.headers.items() if name.lower() not in _UNSIGNED}
    signed = AWSRequest(request.method, request.url, kept, request.body)
    SigV4Auth(credentials, _SERVICE, region).add_auth(signed)
    request.headers.update(signed.headers.items())
