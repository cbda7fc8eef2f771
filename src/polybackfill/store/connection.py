"""How the store is reached: the address, the embedded store's lease, one statement on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiochclient
import aiohttp
import orjson
import pydantic
import structlog

from chdb_http import child_process, secret
from polybackfill import clocks, errors
from polybackfill.store import embedded, error_codes

T = TypeVar("T")

log = structlog.get_logger()

_CONNECT_S = 10.0
_SILENCE_S = 1800.0  # a mutation over everything says nothing until it is done
_KEEP_ALIVE_S = 2.5  # servers close idle connections after 3 s (older ones) or 10 s
_ATTEMPTS = 4
_READ_BUFFER_BYTES = 1 << 20
_WRITE_BYTES = 1 << 18
_OUT_OF_TIME = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED of OpenSSL
_TLS_PORT, _PORT = 8443, 8123  # ClickHouse's own defaults


@dataclass(frozen=True)
class Address:
    """Where the rows go: a server, or without `host` the embedded store in `data_dir`.

    `port` of an embedded store: where it listens when it is started here. `cluster`: where views
    are made that are missing.
    """

    host: str | None = None
    port: int | None = None
    user: str = "default"
    password: pydantic.SecretStr = field(default=pydantic.SecretStr(""), repr=False)
    database: str = "default"
    secure: bool | None = None
    data_dir: Path = Path("data")
    cluster: str | None = None

    @property
    def embedded(self) -> bool:
        """No server is named."""
        return self.host is None

    @property
    def tls(self) -> bool:
        """Asked for, or the port is ClickHouse's for it."""
        return self.port == _TLS_PORT if self.secure is None else self.secure

    @property
    def server_port(self) -> int:
        """The port of a server, ClickHouse's own by default."""
        return self.port or (_TLS_PORT if self.tls else _PORT)

    @property
    def location(self) -> str:
        """What messages call it."""
        return str(self.data_dir) if self.embedded else f"{self.url_host}:{self.server_port}"

    @property
    def url_host(self) -> str:
        """The host as a URL has it."""
        return f"[{self.host}]" if ":" in (self.host or "") else f"{self.host}"


class Broken(errors.Retry):
    """The connection failed; `sent` is False when it was never made."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class Impostor(aiohttp.ClientError):
    """Another program answers where the embedded store did."""


class Encoded:
    """Takes the place of a JSON module in aiochclient, which then passes on lines that are encoded
    already: it cuts the brackets off the list it believes was encoded here."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    def __getitem__(self, brackets: slice) -> AsyncIterator[memoryview]:
        return _gathered(self._pieces)

    @staticmethod
    def dumps(batches: tuple[Sequence[bytes]]) -> Encoded:
        """`batches`: what was given to `execute` beside the SQL, that is one list of pieces."""
        return Encoded(batches[0])

    loads = staticmethod(orjson.loads)


async def _gathered(pieces: Sequence[bytes]) -> AsyncIterator[memoryview]:
    """Small pieces together, large ones in parts: few writes, and none that takes long."""
    pending: list[bytes] = []
    size = 0
    for piece in (*pieces, None):
        if piece is not None:
            pending.append(piece)
            size += len(piece)
        if size >= _WRITE_BYTES or piece is None:
            view = memoryview(pending[0] if len(pending) == 1 else b"".join(pending))
            for first in range(0, size, _WRITE_BYTES):
                yield view[first : first + _WRITE_BYTES]
            pending, size = [], 0


class Connection:
    """Raises errors.Retry, GiveUp and Stop only."""

    def __init__(self, address: Address, *, clock: clocks.Clock) -> None:
        self.address = address
        self._clock = clock
        self._lease: child_process.ChildLease | None = None
        self._pid: int | None = None
        self._joining = asyncio.Lock()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S)
        self._session = aiohttp.ClientSession(
            timeout=timeout,
            connector=connector,
            read_bufsize=_READ_BUFFER_BYTES,
            middlewares=(self._proven,) if address.embedded else (),
        )

    async def close(self) -> None:
        """Let go of the store."""
        await self._session.close()
        await self._let_go()

    async def run(self, work: Callable[[], Awaitable[T]], *, repeatable: bool = False) -> T:
        """Do `work` with a store that is there; what goes wrong becomes one of our classes.

        An embedded store that has died is started again, and work that never reached it, or that
        may be repeated, is done there.
        """
        for _ in range(_ATTEMPTS - 1):
            await self._join()
            try:
                return await self._guarded(work)
            except Broken as error:
                again = repeatable or not error.sent
                if not (again and self.address.embedded):
                    raise
                await self._let_go()  # the next turn joins the child again, or starts one
        await self._join()
        return await self._guarded(work)

    async def _guarded(self, work: Callable[[], Awaitable[T]]) -> T:
        location = self.address.location
        try:
            return await work()
        except aiohttp.ClientConnectorCertificateError as error:
            raise _distrusted(location, error.certificate_error) from error
        except Impostor as error:
            await self._let_go()
            raise Broken(str(error), sent=False) from error
        except aiohttp.ClientConnectorError as error:
            raise Broken(
                f"No connection to the store at {location}: {error}", sent=False
            ) from error
        except aiochclient.ChClientError as error:
            raise error_codes.classify(
                str(error),
                location=location,
                user=self.address.user,
                database=self.address.database,
            ) from error
        except TimeoutError as error:
            raise errors.Retry(f"The store at {location} did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"The connection to the store at {location} broke: {error!r}") from error
        except (orjson.JSONDecodeError, AssertionError) as error:
            # aiochclient asserts that the last line is complete
            raise errors.Retry(
                f"The answer of the store at {location} broke off: {error}"
            ) from error

    async def _proven(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Both sides prove that they know the embedded store's secret, with each request anew.

        The child may have died since we took hold of it, and its port be another program's: that
        one must neither learn the secret nor acknowledge anything.
        """
        lease = self._lease
        if lease is None or lease.endpoint.pid is None:
            raise Impostor("the embedded store was released")
        child = secret.child_name(lease.endpoint.pid, lease.endpoint.port)
        nonce = secret.new_nonce()
        request.headers[secret.NONCE_HEADER] = nonce
        request.headers[secret.PROOF_HEADER] = lease.key.client_proof(child, nonce)
        response = await handler(request)
        proof = response.headers.get(secret.PROOF_HEADER, "")
        if not secret.Secret(lease.key.server_proof(child, nonce)).matches(proof):
            response.close()
            raise Impostor(f"port {lease.endpoint.port} is not the store's any more")
        return response

    async def _join(self) -> None:
        if not self.address.embedded:
            return
        async with self._joining:
            if self._lease is not None and self._lease.lost:
                await self._let_go()
            if self._lease is None:
                self._lease = await embedded.open(
                    self.address.data_dir, clock=self._clock, port=self.address.port
                )
                self._tell(self._lease.endpoint.pid)

    def _tell(self, pid: int | None) -> None:
        if self._pid not in (None, pid):
            log.warning(
                "store.restarted", pid=pid, pid_before=self._pid, location=self.address.location
            )
        self._pid = pid

    async def _let_go(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            await lease.close()

    def client(self, params: Mapping[str, str]) -> aiochclient.ChClient:
        """aiochclient's client for one statement with these URL parameters."""
        return aiochclient.ChClient(
            self._session,
            url=self.url,
            user=self.address.user,
            password=self.address.password.get_secret_value(),
            database=self.address.database,
            json=Encoded,
            **params,
        )

    async def outside(self, sql: str) -> None:
        """Run a statement in the database every store has, not in the one of the address."""

        async def send() -> None:
            async with self.post(sql, {}, database="default"):
                pass

        await self.run(send)

    @asynccontextmanager
    async def post(
        self,
        sql: str,
        params: Mapping[str, str],
        *,
        database: str | None = None,
        headers: Mapping[str, str] | None = None,
        rows: AsyncIterator[bytes] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a statement as it is, with its `rows` behind it, and look at the beginning of the
        answer.

        aiochclient would parse it first and cannot give back bytes. Raises what it raises.
        """
        speaks = self.client(params)
        sent = {**speaks.params, "database": database or self.address.database}
        if rows is not None:
            sent["query"] = sql
        async with self._session.post(
            speaks.url,
            params=sent,
            headers={**speaks.headers, **(headers or {})},
            data=sql.encode() if rows is None else rows,
        ) as response:
            if response.status != 200:
                raise aiochclient.ChClientError(
                    (await response.text(errors="replace")).strip() or f"HTTP {response.status}"
                )
            yield response

    @property
    def url(self) -> str:
        """The base URL; of an embedded store once it has been joined."""
        if self._lease is not None:
            return f"http://{self._lease.endpoint.host}:{self._lease.endpoint.port}/"
        scheme = "https" if self.address.tls else "http"
        return f"{scheme}://{self.address.url_host}:{self.address.server_port}/"


def _distrusted(location: str, error: Exception) -> errors.BackfillError:
    """Out of its time it is renewed, or the clock is set right; any other needs a person."""
    if getattr(error, "verify_code", None) in _OUT_OF_TIME:
        return Broken(f"The certificate of the store at {location} is out of its time: {error}")
    return errors.Stop(
        f"The certificate of the store at {location} is not trusted: {error}. Add its authority to "
        "this machine (SSL_CERT_FILE), or correct CLICKHOUSE_HOST"
    )
