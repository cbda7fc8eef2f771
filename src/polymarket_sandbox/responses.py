"""Responses before they become HTTP: a status, headers and a body already in bytes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import orjson

JSON_TYPE = "application/json"
HTML_TYPE = "text/html; charset=UTF-8"


@dataclass
class Response:
    """One answer; `content_type` with its charset where it has one."""

    body: bytes
    status: int = 200
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """The request is refused; `response` says how."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def as_json(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(value), status, headers=headers or {})


def v2_error(
    status: int,
    code: str,
    text: str,
    *,
    retryable: bool = False,
    parameter: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """The error body of Data API v2."""
    body: dict[str, object] = {"error": text, "code": code, "retryable": retryable}
    if parameter is not None:
        body["parameter"] = parameter
    body["trace_id"] = secrets.token_hex(16)
    return as_json(body, status=status, headers=headers)


def refused(text: str, *, parameter: str | None = None) -> ApiError:
    """400 of Data API v2, to be raised."""
    return ApiError(v2_error(400, "invalid_request", text, parameter=parameter))


def gamma_refused(text: str, status: int = 422) -> ApiError:
    """A refusal of Gamma, to be raised."""
    return ApiError(as_json({"type": "validation error", "error": text}, status=status))


def html(status: int, title: str, text: str) -> Response:
    """A page of the edge in front of the service."""
    page = (
        f"<!DOCTYPE html>\n<html><head><title>{title}</title></head>"
        f"<body><h1>{title}</h1><p>{text}</p></body></html>\n"
    )
    return Response(page.encode(), status, HTML_TYPE)
