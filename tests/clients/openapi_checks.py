"""What schemathesis is told besides its configuration. It loads this file by its name."""

import re

import loopback  # noqa: F401
import schemathesis
from schemathesis.specs.openapi.checks import (
    IgnoredAuth,
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

# What of a good request a description cannot say, by what a client is told of it.
UNSAID = re.compile(
    "is not among the tools|requires a tool, and there is none|two tools have the same name"
    # These name what is there or not.
    "|is not listed|is not kept here"
    # Much may be left out, but not all of it.
    "|at least one message with content is required|input must hold something"
    "|a tool of type .* is not supported"
)


# What is an object of few fields. An array of their values, in order, is read too, and does no harm.
OBJECTS = ("text", "stream_options", "metadata", "output_config", "thread", "thinking", "json_schema")

# Where a request has a schema: of an answer, or of a tool's arguments.
SCHEMAS = ("schema", "parameters", "input_schema")


def fields(value):
    """Every field at any depth: its holder, name and value."""
    if isinstance(value, dict):
        for name, inner in list(value.items()):
            yield value, name, inner
            yield from fields(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from fields(inner)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes schemas ones that any object fits: no model could make up an answer to most others, and
    502 is then as it should be.
    """
    for holder, name, value in fields(case.body):
        if name in SCHEMAS and isinstance(value, dict | bool):
            holder[name] = {}


@schemathesis.check
def good_requests_are_accepted(ctx, response, case):
    """As positive_data_acceptance, but for what cannot be said."""
    if response.status_code == 400 and UNSAID.search(response.text):
        return None
    return positive_data_acceptance(ctx, response, case)


@schemathesis.check
def bad_requests_are_refused(ctx, response, case):
    """As negative_data_rejection, but for arrays in the place of objects."""
    if any(name in OBJECTS and isinstance(value, list) for _, name, value in fields(case.body)):
        return None
    return negative_data_rejection(ctx, response, case)


@schemathesis.check
def keys_are_asked_for(ctx, response, case):
    """As ignored_auth, but that whoever sends many wrong keys is told 429 after a while."""
    try:
        return ignored_auth(ctx, response, case)
    except IgnoredAuth as failure:
        if "got `429 " in failure.message:
            return None
        raise
