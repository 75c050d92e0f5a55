"""Requests to AWS, signed (SigV4) on their way out.

botocore signs and finds credentials; it is imported when the first request needs it. Finding and renewing credentials
may ask files and the machine's metadata service, and so happens on a thread.
"""

from __future__ import annotations

import asyncio
from typing import Any

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.base import WireRequest
from router.dialects.sagemaker import SIGNED, AwsAccount
from router.upstream.base import Timing, Upstream, UpstreamResponse

MISSING = "provider sagemaker needs botocore: install llm-router[aws]"
_SIGNED_FIELDS = (b"host:", b"content-type:")
"""Of the fields of a request; what intermediaries may touch is left out."""


class AwsUpstream:
    """An `Upstream` for origins whose scheme begins with `aws+`: signs, and has `http` send."""

    def __init__(self, http: Upstream) -> None:
        self._http = http
        self._signers: dict[AwsAccount, _Signer] = {}

    async def send(self, wire: WireRequest, timing: Timing) -> UpstreamResponse:
        """See `Upstream.send`. Raises UpstreamFailure(AUTH) where there are no credentials."""
        account = wire.deployment.options
        assert isinstance(account, AwsAccount), "the configuration gives every such deployment its account"
        signer = self._signers.get(account)
        if signer is None:
            signer = self._signers[account] = _Signer(account)
        try:
            async with asyncio.timeout_at(timing.deadline):
                credentials = await asyncio.to_thread(signer.credentials)
        except TimeoutError:
            raise UpstreamFailure(FailureKind.ATTEMPT_TIMEOUT, "the credentials took too long to find") from None
        origin = wire.origin._replace(scheme=wire.origin.scheme.removeprefix(SIGNED))
        return await self._http.send(wire._replace(origin=origin, head=signer.signed(wire, credentials)), timing)

    async def close(self) -> None:
        """Nothing of its own to close."""


class _Signer:
    """One account's."""

    def __init__(self, account: AwsAccount) -> None:
        self._account = account
        self._session: Any = None

    def credentials(self) -> Any:
        """Frozen credentials, good for now; may block. Raises UpstreamFailure(AUTH)."""
        try:
            import botocore.credentials
            import botocore.session
        except ModuleNotFoundError:
            raise UpstreamFailure(FailureKind.AUTH, MISSING) from None
        account = self._account
        if account.access_key_id:
            return botocore.credentials.Credentials(
                account.access_key_id, account.secret_access_key, account.session_token or None
            ).get_frozen_credentials()
        if self._session is None:
            self._session = botocore.session.Session(profile=account.profile or None)
        try:
            found = self._session.get_credentials()
            frozen = None if found is None else found.get_frozen_credentials()
        except Exception as error:  # botocore has some thirty kinds, and any of them means the same here
            raise UpstreamFailure(FailureKind.AUTH, f"found no credentials for AWS ({type(error).__name__})") from None
        if frozen is None:
            raise UpstreamFailure(FailureKind.AUTH, "found no credentials for AWS")
        return frozen

    def signed(self, wire: WireRequest, credentials: Any) -> bytes:
        """The request's head with the fields that sign it."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        line, *fields = wire.head[:-4].split(b"\r\n")
        method, path, _ = line.decode("latin-1").split(" ")
        chosen = dict(_split(field) for field in fields if field.startswith(_SIGNED_FIELDS))
        scheme = wire.origin.scheme.removeprefix(SIGNED)
        asked = AWSRequest(method, f"{scheme}://{chosen['host']}{path}", chosen, wire.body)
        SigV4Auth(credentials, self._account.service, self._account.region).add_auth(asked)
        added = [f"{name}: {value}" for name, value in asked.headers.items() if name.lower() not in chosen]
        return b"\r\n".join([line, *fields, *(text.encode("latin-1") for text in added), b"", b""])


def _split(field: bytes) -> tuple[str, str]:
    name, _, value = field.decode("latin-1").partition(": ")
    return name, value
